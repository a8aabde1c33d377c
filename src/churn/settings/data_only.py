"""Configuration is data: what Hydra would import and call is refused before Hydra reads it.

`_target_` names something to call wherever it stands in Hydra's own branch (callbacks, launchers,
sweepers), and a search path brings files that nobody has looked at. None is needed here.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from churn.conf_tree import CONF
from churn.errors import ConfigurationError

TARGET = "_target_"
CALLED = ("callbacks", "launcher", "sweeper", "searchpath")
"""What of Hydra's own configuration imports, calls, or reads from elsewhere."""


def require_words(words: Sequence[str]) -> None:
    """Raise `ConfigurationError` for a word of the command line that names code."""
    for word in words:
        name = word.partition("=")[0].lstrip("+~")
        parts = name.replace("/", ".").split("@")[0].split(".")
        if TARGET in word or (parts[0] == "hydra" and {*parts[1:2]} & {*CALLED}):
            raise _code(word.partition("=")[0])


def require_files(folders: Sequence[Path] = ()) -> None:
    """Raise `ConfigurationError` for a file of `conf/`, or of a `--config-dir`, that names code."""
    for folder in (CONF, *folders):
        for path in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")]):
            text = path.read_text(encoding="utf-8", errors="replace")
            is_own = folder == CONF and path.name != "local.yaml"
            if TARGET in text or "\\" in text or "hydra" in text or not is_own:
                require_content(_content(text), where=str(path))


def require_content(content: Any, *, where: str) -> None:
    """Raise `ConfigurationError` where `_target_` is a key, or Hydra is told what to call."""
    for keys in _paths(content):
        is_called = keys[0] == "hydra" and {*keys[1:2]} & {*CALLED}
        if keys[-1] == TARGET or is_called:
            raise _code(f"{where}: {'.'.join(map(str, keys))}")


def _content(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None  # Hydra says what is wrong with it, and reads nothing of it


def _paths(content: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key of nested content, with those above it."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield (*above, key)
            yield from _paths(value, (*above, key))
    elif isinstance(content, list):
        for value in content:
            yield from _paths(value, above)


def _code(got: str) -> ConfigurationError:
    return ConfigurationError(
        "the configuration names code to run",
        got=got,
        expected="values; what a name means is chosen in the product, never imported",
        next_step=f"remove {TARGET}, and callbacks, launchers, sweepers and search paths of Hydra",
    )
