"""Values that a user gave, refused with what was expected."""

import re

from churn.errors import ConfigurationError, nearest


def one_of(key: str, value: str, known: list[str]) -> None:
    if value not in known:
        hint = nearest(value, known)
        raise ConfigurationError(
            f"{key} has a value that does not exist",
            got=value,
            expected=f"one of: {', '.join(known)}",
            next_step=hint if hint.startswith("did you mean") else "choose one of these",
        )


def plain_name(key: str, value: str) -> None:
    """Names of runs and presets become those of files and stand in lists of words."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", value):
        raise ConfigurationError(
            f"{key} is not a plain name",
            got=value,
            expected="letters, digits, _, . and -, at most 80, such as no_text",
            next_step=f"choose another {key}",
        )


def variable(key: str, value: str, *, example: str = "CHURN_SQL_URL") -> None:
    """Raise `ConfigurationError` for what names no variable; it may be the secret itself."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ConfigurationError(
            f"{key} is not the name of an environment variable",
            got="other characters (not shown: a URL holds a password)",
            expected=f"letters, digits and _, such as {example}",
            next_step=f"export {example}=…, and write that name into {key}",
        )
