"""Random streams by (purpose, week), and dataclasses of arrays to hold what they give."""

from dataclasses import fields, replace
from enum import IntEnum
from typing import Any, TypeVar

import numpy as np

Array = np.ndarray[Any, Any]
T = TypeVar("T")


class Draw(IntEnum):
    """The purposes that own a random stream; a place, once given, never changes."""

    STATIC = 0
    START = 1
    LATENT = 2
    CHURN = 3
    CAMPAIGN = 4
    COMMERCE = 5
    USAGE = 6
    PEOPLE = 7
    ARRIVAL = 8
    NAMES = 9
    DEFECTS = 10
    ORACLE = 11
    CONTACTS = 12
    LISTED = 13


def generator(seed: int, purpose: Draw, place: int = 0) -> np.random.Generator:
    """The stream of one purpose; `place` is mostly a week."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(purpose), place)))


def t_noise(rng: np.random.Generator, degrees: float, shape: Any) -> Array:
    """Student-t noise of unit variance, so that a knob called `sd` is one."""
    return rng.standard_t(degrees, shape) * np.sqrt((degrees - 2.0) / degrees)


def sigmoid(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))


def take(arrays: T, index: Array) -> T:
    """The same dataclass of arrays for the customers at `index` (the last axis)."""
    kept = {f.name: getattr(arrays, f.name)[..., index] for f in fields(arrays)}  # type: ignore[arg-type]
    return replace(arrays, **kept)  # type: ignore[type-var]


def where(is_new: Array, new: T, old: T) -> T:
    """Customers of `new` where the mask holds, of `old` elsewhere."""
    pairs = ((f.name, getattr(new, f.name), getattr(old, f.name)) for f in fields(new))  # type: ignore[arg-type]
    return replace(new, **{name: np.where(is_new, a, b) for name, a, b in pairs})  # type: ignore[type-var]


def put_at(arrays: T, index: Array, new: T) -> T:
    """The same dataclass of arrays with the customers at `index` replaced."""
    columns = {}
    for f in fields(arrays):  # type: ignore[arg-type]
        columns[f.name] = getattr(arrays, f.name).copy()
        columns[f.name][index] = getattr(new, f.name)
    return replace(arrays, **columns)  # type: ignore[type-var]
