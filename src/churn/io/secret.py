"""Secrets: from an environment variable, or from the file that `<VARIABLE>_FILE` names; from nowhere else."""

import os
from pathlib import Path

from churn.errors import ConfigurationError

FILE = "_FILE"
"""Behind the name of a variable: where its value stands, as containers and systemd hand secrets over."""


def read(variable: str) -> str:
    """The secret that `variable` names, without the line's end; empty where nobody has set it.

    Raises `ConfigurationError` where it is given twice, or its file cannot be read; neither message
    shows a secret.
    """
    given, place = os.environ.get(variable, ""), os.environ.get(variable + FILE, "")
    if not place:
        return given
    if given:
        raise ConfigurationError(
            f"{variable} is given twice",
            got=f"both {variable} and {variable}{FILE} in the environment",
            expected="one of them",
            next_step=f"unset {variable}, or {variable}{FILE}",
        )
    try:
        return Path(place).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text in UTF-8"
        raise ConfigurationError(
            f"the file that {variable}{FILE} names cannot be read",
            got=str(reason),
            expected="a file with the secret in it, readable by the user that runs churn",
            next_step=f"check {variable}{FILE}, and who may read the file",
        ) from None


def exported(variable: str) -> None:
    """Let a library that reads `variable` itself find what stands in a file."""
    if os.environ.get(variable + FILE) and variable not in os.environ:
        os.environ[variable] = read(variable)
