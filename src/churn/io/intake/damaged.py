"""A delivery that is damaged inside: its outside is as it was written, what is in it cannot be read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from churn.errors import InputError
from churn.io.engine import Engine
from churn.io.intake.index import Found
from churn.io.intake.rivals import groups_of
from churn.usage import events


@contextmanager
def named(files: Sequence[Found], engine: Engine) -> Iterator[None]:
    """Where something in the body cannot be read, raise `InputError` naming the first of `files` of which
    that is so, if it is one of them."""
    try:
        yield
    except InputError:
        for reading, group in groups_of(files):
            for file in group:
                engine.bind("raw", file.file.place, row_numbers=True)
                try:
                    engine.table(events.every_cell(reading))
                except InputError as error:
                    raise InputError(
                        f"{file.path} is damaged inside",
                        got=error.got,
                        expected="a file as it was written",
                        next_step="deliver the file again; was it copied while it was being written?",
                    ) from error
        raise
