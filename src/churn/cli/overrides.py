"""The words after the command, checked, and turned into what Hydra reads as it was meant.

Hydra takes `customer=1e5` for a number, `source.events=a,b.csv` for two jobs, `[ab]*.csv` for a
list and `+key=` as leave to invent keys. Here the type of the key decides: text stays text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_origin

import yaml
from hydra.core.override_parser.types import Quote, QuotedString

from churn.cli.keys import keys, nearest_key, type_of
from churn.conf_tree import groups
from churn.errors import ConfigurationError, nearest
from churn.settings import PARAMS

RENAMED = {"from": "from_date", "to": "to_date"}
"""`from` is a word of Python's own, so the settings keep it under another name."""

FLAGS = {
    "--multirun": 0, "-m": 0, "--resolve": 0, "--hydra-help": 0,
    "--cfg": 1, "-c": 1, "--package": 1, "-p": 1, "--config-dir": 1, "-cd": 1, "--info": 1, "-i": 1,
}  # fmt: skip
"""Hydra's flags that are ours too, with the number of words that follow."""

QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
LIST = re.compile(r"\[([^\[\]]*)\]")
PLAIN_ITEM = re.compile(r"'([^'\\,\[\]\"]*)'")
SWEEP = re.compile(r"(choice|range|interval|glob|shuffle|sort|tag)\(.*\)")


@dataclass
class Words:
    """`flags` and `overrides` as Hydra takes them; `params`: a file instead of all composition."""

    flags: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    params: str | None = None

    @property
    def is_sweep(self) -> bool:
        return bool({"--multirun", "-m"} & set(self.flags))


def read(arguments: Sequence[str]) -> Words:
    """Sort the words after the command. Raises `ConfigurationError` for what is neither."""
    words, plain, waiting = Words(), [], list(arguments)
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("-"):
            plain.append(word)
            continue
        n_values = _values_of_flag(word)
        words.flags += [word, *waiting[:n_values]]
        waiting = waiting[n_values:]
    _require_choice(words.flags)
    for word in plain:
        name, separator, value = word.partition("=")
        _require_key(name, word if not separator else "", has_own_files=_has_own_files(words))
        if name == "params":
            words.params = value
        else:
            _require_offered(name, value, has_own_files=_has_own_files(words))
            words.overrides.append(_meant(RENAMED.get(name, name), value, is_sweep=words.is_sweep))
    if words.params and (words.overrides or words.flags):
        raise ConfigurationError(
            "params= replaces the whole configuration",
            got=" ".join(arguments),
            expected="params=FILE alone",
            next_step="give the overrides to `churn config`, which writes the file",
        )
    return words


def _values_of_flag(word: str) -> int:
    flag, separator, _ = word.partition("=")
    if flag in FLAGS:
        return 0 if separator else FLAGS[flag]
    key = flag.lstrip("-").replace("-", "_")
    close = get_close_matches(flag, list(FLAGS), n=1, cutoff=0.7)
    known = f"did you mean {close[0]}?" if close else nearest_key(key)
    raise ConfigurationError(
        f"there is no flag {flag}",
        got=word,
        expected=f"{word.lstrip('-')} without dashes" if type_of(key) else known,
        next_step="write key=value, as in promote.back=true; flags are --cfg job and --multirun",
    )


def config_dirs(flags: Sequence[str]) -> list[Path]:
    """The folders of configuration that `--config-dir` names."""
    found = []
    for place, flag in enumerate(flags):
        name, separator, value = flag.partition("=")
        if name in ("--config-dir", "-cd"):
            found += [Path(value)] if separator else [Path(one) for one in flags[place + 1 :][:1]]
    return found


def _require_choice(flags: Sequence[str]) -> None:
    for place, flag in enumerate(flags):
        value = "".join(flags[place + 1 : place + 2])
        if flag in ("--cfg", "-c") and value not in ("job", "hydra", "all"):
            raise ConfigurationError(
                f"{flag} prints the configuration",
                got=value or "nothing after it",
                expected=f"{flag} job",
                next_step=f"write {flag} job",
            )


def _has_own_files(words: Words) -> bool:
    """With `--config-dir` there may be groups and choices that only Hydra can find."""
    return bool({"--config-dir", "-cd"} & set(words.flags))


def _require_key(name: str, bare: str, *, has_own_files: bool) -> None:
    """`name` is a key, a group or Hydra's own; `bare` is the word when it has no `=`."""
    key = name.lstrip("+~")
    if key != name:
        raise ConfigurationError(
            f"{name[0]} before a key is not taken: every key exists already",
            got=name,
            expected=key if type_of(key) else nearest_key(key),
            next_step="write key=value",
        )
    if bare:
        raise ConfigurationError(
            "a word is not key=value",
            got=bare,
            expected=f"key=value; {nearest_key(bare)}",
            next_step="write workspace=DIR, as_of=YYYY-MM-DD, …; there are no positionals",
        )
    known = name in RENAMED or type_of(name) is not None or name in groups()
    if not (known or has_own_files or name.startswith(("hydra.", "hydra/"))):
        raise ConfigurationError(
            f"there is no configuration key {name}",
            got=name,
            expected=nearest_key(name),
            next_step="`churn COMMAND --cfg job` prints every key with its value",
        )


def _require_offered(group: str, value: str, *, has_own_files: bool) -> None:
    """The choice of a configuration group (each one, in a sweep) is one of its files."""
    offered = groups().get(group)
    if not offered or has_own_files or SWEEP.fullmatch(value):
        return
    for choice in value.split(","):
        if choice not in offered:
            raise ConfigurationError(
                f"{group}= has no choice {choice or 'that is empty'}",
                got=f"{group}={value}",
                expected=f"one of: {', '.join(offered)}",
                next_step=nearest(choice, offered) if choice else "choose one of these",
            )


def _meant(name: str, value: str, *, is_sweep: bool) -> str:
    """`name=value` with text quoted where the key holds text, also inside a list."""
    kind = type_of(name)
    if get_origin(kind) is dict or (kind is not None and name not in keys()):
        name = f"++{name}"  # a mapping or inside one: Hydra knows no keys before they are given
    if kind in (str, str | None) and not (is_sweep and SWEEP.fullmatch(value)):
        parts = value.split(",") if is_sweep and not set("'\"") & set(value) else [value]
        return f"{name}={','.join(_quoted(part, kind) for part in parts)}"
    if kind == list[str] and not set("'\"") & set(value):
        return f"{name}={LIST.sub(_list_quoted, value)}"
    return f"{name}={value}"


def _list_quoted(found: re.Match[str]) -> str:
    items = [item.strip() for item in found.group(1).split(",")] if found.group(1).strip() else []
    return f"[{','.join(_quoted(item, str) for item in items)}]"


def _quoted(value: str, kind: Any) -> str:
    """`value` in Hydra's quotes; null stays null, and what the user quoted stays as it is."""
    is_null = value == "null" and kind is not str
    if is_null or QUOTED.fullmatch(value):
        return value
    return QuotedString(value, Quote.single).with_quotes()


def recorded(overrides: Sequence[str]) -> list[str]:
    """`overrides` with themselves as `config.overrides`, for `churn config` to write down.

    With `config.keep=true` those of the present `params.yaml` come first, unless given anew.
    """
    given = [word for word in overrides if not word.startswith("config.")]
    if "config.keep=true" in overrides and Path(PARAMS).is_file():
        names = {word.partition("=")[0] for word in given}
        before = yaml.safe_load(Path(PARAMS).read_text())["config"]["overrides"]
        given = [*(word for word in before if word.partition("=")[0] not in names), *given]
    return [*given, f"config.overrides=[{','.join(_quoted(word, str) for word in given)}]"]


def plain(overrides: Sequence[str]) -> list[str]:
    """`overrides` as a person types them: without Hydra's marks and the quotes added here.

    >>> plain(["++source.columns.event='what'", "features.without=['text','people']"])
    ['source.columns.event=what', 'features.without=[text,people]']
    """
    said = []
    for word in overrides:
        name, _, value = word.lstrip("+").partition("=")
        if QUOTED.fullmatch(value):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        elif LIST.fullmatch(value):
            value = PLAIN_ITEM.sub(r"\1", value)
        said.append(f"{name}={value}")
    return said
