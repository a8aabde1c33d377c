"""The keys of the configuration: their names, their types, and which one was probably meant."""

import difflib
from dataclasses import fields, is_dataclass
from types import NoneType
from typing import Any, get_args, get_origin

from churn.settings import Settings

WORLD = "source.world."
"""The simulator's hundred knobs, which nobody means by accident."""


def keys(kind: type = Settings, prefix: str = "") -> dict[str, type]:
    """Every key of the settings by dotted name, with its declared type.

    >>> keys()["churn.horizon_days"]
    <class 'int'>
    """
    found: dict[str, Any] = {}
    for entry in fields(kind):
        name = f"{prefix}{entry.name}"
        found[name] = entry.type
        if is_dataclass(entry.type) and isinstance(entry.type, type):
            found |= keys(entry.type, f"{name}.")
    return found


def type_of(key: str) -> Any:
    """The declared type of a key, those inside a mapping included; None when there is no such key.

    >>> type_of("source.columns.customer_id")
    <class 'str'>
    """
    known = keys()
    name, kind = key, known.get(key)
    while kind is None and "." in name:
        name = name.rpartition(".")[0]
        kind = known.get(name)
    for step in key.removeprefix(name).split(".")[1:]:
        kind = _inside(kind, step)
    return kind


def _inside(kind: Any, step: str) -> Any:
    """The type of what `step` leads to: a value of a mapping, or a field of what the mapping holds."""
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    if is_dataclass(kind):
        return next((entry.type for entry in fields(kind) if entry.name == step), None)
    return None


def type_in_words(kind: Any) -> str:
    """What a value of that type looks like, for a message.

    >>> type_in_words(int)
    'a whole number'
    """
    plain = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    if kind in plain:
        return plain[kind]
    if get_origin(kind) is list:
        return f"a list such as [a,b], each {type_in_words(get_args(kind)[0])}"
    if get_origin(kind) is dict:
        return f"a mapping such as {{a: b}}, each {type_in_words(get_args(kind)[1])}"
    if NoneType in get_args(kind):
        return f"{type_in_words(get_args(kind)[0])}, or null"
    return "a group of keys"


def nearest_key(name: str) -> str:
    """The valid key that `name` was probably meant to be, as the end of a sentence.

    >>> nearest_key("horizon")
    'did you mean churn.horizon_days?'
    """
    leaf = name.rpartition(".")[2]
    own = {key: key.rpartition(".")[2] for key in keys() if WORLD not in key or WORLD in name}
    close = difflib.get_close_matches(leaf, set(own.values()), n=1, cutoff=0.6)
    begun = [key for key, last in own.items() if leaf and last.startswith(f"{leaf}_")]
    alike = [key for key, last in own.items() if close and last == close[0]] or begun
    if not alike:
        return f"a key in one of: {', '.join(key for key in own if '.' not in key)}"
    return f"did you mean {max(alike, key=lambda key: _likeness(key, name))}?"


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()
