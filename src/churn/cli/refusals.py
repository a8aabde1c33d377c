"""Hydra's and OmegaConf's refusals as messages of four parts, with the nearest valid key."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from churn.cli.keys import nearest_key, type_in_words, type_of
from churn.errors import ChurnError, ConfigurationError

LOOK = "`churn COMMAND --cfg job` prints every key with its value"


@contextmanager
def in_our_words(overrides: Sequence[str] = ()) -> Iterator[None]:
    """Raise what Hydra refuses as `ConfigurationError`; `overrides` are what it was given."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        told = [str(error.override)] if isinstance(error, OverrideParseException) else overrides
        raise _ours(error) or refusal(str(error), told) from None


def _ours(error: BaseException | None) -> ChurnError | None:
    """A refusal of our own that Hydra or OmegaConf has wrapped."""
    while error is not None and not isinstance(error, ChurnError):
        error = error.__cause__
    return error


def refusal(message: str, overrides: Sequence[str]) -> ConfigurationError:
    """What a message of Hydra's or OmegaConf's means to the user."""
    first, key = message.strip().splitlines()[0], _full_key(message)
    unknown = re.search(
        r"Could not override '([^']+)'|Key '([^']+)' (?:not in|is not in struct)", message
    )
    if unknown:
        name = unknown.group(1) or key or unknown.group(2)
        return ConfigurationError(
            f"there is no configuration key {name}",
            got=name,
            expected=nearest_key(name),
            next_step=f"correct it on the command line or in the file of conf/; {LOOK}",
        )
    group = re.search(r"Could not find '([^']+)'", message)
    if group:
        options = re.findall(r"^\t(\S+)$", message, re.MULTILINE)
        return ConfigurationError(
            "a configuration group has no such choice",
            got=group.group(1),
            expected=f"one of: {', '.join(options)}" if options else "a file in conf/",
            next_step="choose one of these, or add a file to that folder of conf/",
        )
    key = key or (overrides[0].partition("=")[0] if len(overrides) == 1 else None)
    words = [word.lstrip("+") for word in overrides]
    said = next((word for word in words if key and word.startswith(f"{key}=")), "")
    value = re.search(r"Value '(.*?)' (?:of type|\()", message)
    kind = type_of(key) if key else None
    return ConfigurationError(
        f"{key or 'the configuration'} cannot be understood",
        got=said or (value.group(1) if value else first),
        expected=type_in_words(kind) if kind else f"key=value words or YAML ({first})",
        next_step=LOOK,
    )


def _full_key(message: str) -> str | None:
    """The dotted key a message is about."""
    found = re.search(r"full_key: (\S+)", message)
    if found:
        return found.group(1)
    override = re.search(r"override '?\+*([\w.]+)=", message)
    return override.group(1) if override else None
