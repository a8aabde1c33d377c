"""A database behind SQLAlchemy: its address from the environment, its failures in our words.

The address holds a password. It is read from a variable, kept in no file, log or message, and what
a driver says is cleaned of it before anybody sees it; the driver's own exception is not passed on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from churn.errors import ChurnError, ConfigurationError, InputError, MachineError
from churn.io import secret

UNDEFINED = ("42P01", "42703", "3F000")
"""SQLSTATE of a table, a column or a schema that is not there."""

READ_ONLY = "25006"
SECRET_WORDS = ("password", "passwd", "secret", "token", "key")
"""What the name of a secret in the query part of an address contains."""


def address(variable: str) -> sa.URL:
    """The database that environment variable `variable` names.

    Raises `ConfigurationError` where it is not set or is no URL; neither message shows its value.
    """
    given = secret.read(variable).strip()
    shape = "an SQLAlchemy URL such as postgresql+psycopg://USER:PASSWORD@HOST:5432/DATABASE"
    if not given:
        raise ConfigurationError(
            f"the environment variable {variable} is not set",
            got="no address of a database",
            expected=shape,
            next_step=f"export {variable}=…, or name another variable in url_variable",
        )
    try:
        return sa.make_url(given)
    except (exc.ArgumentError, ValueError):
        raise ConfigurationError(
            f"the environment variable {variable} holds no URL",
            got=f"{len(given)} characters that cannot be read as one (not shown: a password?)",
            expected=shape,
            next_step="write @, : and / inside a password as %40, %3A and %2F",
        ) from None


@contextmanager
def connected(variable: str, *, is_read_only: bool) -> Iterator[sa.Connection]:
    """A connection within one transaction, in UTC; committed at the end, undone by an exception.

    Read-only, all statements see the database as it was at the first one (PostgreSQL). Raises
    `ConfigurationError` for an address or a statement that is wrong, `InputError` for a table,
    column or value that is, `MachineError` for a connection that fails.
    """
    place = address(variable)
    engine = _engine(place, variable)
    try:
        with (
            _in_our_words(place, variable, engine.dialect.loaded_dbapi),
            engine.connect() as connection,
        ):
            is_postgresql = engine.dialect.name == "postgresql"
            if is_postgresql and is_read_only:
                connection = connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            with connection.begin():
                if is_postgresql:
                    connection.execute(sa.text("SET LOCAL TIME ZONE 'UTC'"))
                yield connection
    finally:
        engine.dispose()


CONNECT_SECONDS = 30
"""How long a PostgreSQL server may be silent before it counts as down; its URL may say another."""


def _engine(place: sa.URL, variable: str) -> sa.Engine:
    """No pool (one connection per run), and no rows of customers in SQLAlchemy's messages."""
    waits = place.get_backend_name() == "postgresql" and "connect_timeout" not in place.query
    patience = {"connect_timeout": CONNECT_SECONDS} if waits else {}
    try:
        return sa.create_engine(
            place, poolclass=sa.NullPool, hide_parameters=True, connect_args=patience
        )
    except exc.NoSuchModuleError:
        raise ConfigurationError(
            f"the environment variable {variable} names a database that SQLAlchemy does not know",
            got=masked(f"{place.drivername}://…", place),
            expected="postgresql+psycopg://…, or another dialect that is installed",
            next_step="correct the beginning of the URL, or install the dialect",
        ) from None
    except ImportError as error:
        raise ConfigurationError(
            "the driver of the database is not installed",
            got=masked(f"{place.drivername}: {error}", place),
            expected="psycopg 3 for PostgreSQL",
            next_step="pip install 'churn[sql]', or the driver that the URL names",
        ) from None
    except (exc.ArgumentError, TypeError) as error:
        raise ConfigurationError(
            f"the environment variable {variable} holds a URL that cannot be used",
            got=masked(str(error).splitlines()[0], place),
            expected="a URL as the dialect's documentation writes it",
            next_step="correct what stands behind the ? of the URL",
        ) from None


def masked(text: str, place: sa.URL) -> str:
    """`text` without the password of `place`, as written and as it is escaped in a URL.

    >>> masked("no: hunter2", sa.make_url("postgresql://ann:hunter2@db/logs"))
    'no: ***'
    """
    from urllib.parse import quote, quote_plus

    hidden = [place.password or ""]
    for name, value in place.query.items():
        if any(word in name.lower() for word in SECRET_WORDS):
            hidden += [value] if isinstance(value, str) else list(value)
    for word in filter(None, hidden):
        for spelled in (word, quote(word, safe=""), quote_plus(word)):
            text = text.replace(spelled, "***")
    return text


@contextmanager
def _in_our_words(place: sa.URL, variable: str, dbapi: Any) -> Iterator[None]:
    try:
        yield
    except (exc.SQLAlchemyError, dbapi.Error) as error:
        raise _refusal(error, place, variable, dbapi) from None


def _refusal(error: Exception, place: sa.URL, variable: str, dbapi: Any) -> ChurnError:
    """What the driver or SQLAlchemy says, by what a person has to do about it."""
    cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig else error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    said = masked(lines[0] if lines else type(cause).__name__, place)
    hint = next((masked(line, place) for line in lines if line.startswith("HINT:")), "")
    state = getattr(cause, "sqlstate", None)
    if state in UNDEFINED:
        return InputError(
            "the database does not have what a SELECT names",
            got=said,
            expected="tables and columns that are there" + (f"; {hint}" if hint else ""),
            next_step="correct the SELECT in the configuration",
        )
    if isinstance(cause, dbapi.DataError):
        return InputError(
            "the database holds a value that cannot be read",
            got=said,
            expected="times between the years 1 and 9999, and numbers that a double can hold",
            next_step="leave such rows out, or correct them, in a view or a SELECT of your own",
        )
    if isinstance(cause, (dbapi.ProgrammingError, dbapi.NotSupportedError)) or state == READ_ONLY:
        return ConfigurationError(
            "the database refuses the statement",
            got=said,
            expected="a table, view or SELECT that this user may read (a sink: may write)",
            next_step="grant the right, or correct the configuration",
        )
    return MachineError(
        f"the database that {variable} names cannot be worked with",
        got=said,
        expected="a connection that opens and lasts",
        next_step=f"check server, network, name and password in {variable}, then run again",
    )
