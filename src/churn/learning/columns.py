"""What a model takes in: columns by name, order and kind, and the levels of categories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from churn.errors import InputError
from churn.features.definitions import Feature

Array = np.ndarray[Any, Any]

MAX_LEVELS = 30
"""A category keeps its most frequent levels; a tail of rare ones says little and overfits."""

MIN_LEVEL_ROWS = 50
"""A level seen on fewer training rows is treated like one never seen."""


@dataclass(frozen=True)
class Column:
    """One column of a model's input; `levels` are the known values of a category, in order."""

    name: str
    kind: str
    levels: tuple[str, ...] = ()


def learn(rows: pd.DataFrame, *, features: Sequence[Feature]) -> tuple[Column, ...]:
    """The columns of `features` with the levels that `rows` know, most frequent first."""
    return tuple(
        Column(f.name, f.kind, _levels(rows[f.name]) if f.kind == "category" else ())
        for f in features
    )


def checked(columns: Sequence[Column], frame: pd.DataFrame) -> pd.DataFrame:
    """The columns of `frame` that a model reads, in the model's order.

    LightGBM scores a frame with reordered, renamed or retyped columns without a word, so names and
    kinds are compared here. Other columns and the order of `frame` do not matter. Raises
    `InputError` naming every column that is absent or of another kind.
    """
    absent = [c.name for c in columns if c.name not in frame.columns]
    wrong = [c.name for c in columns if c.name not in absent and not _fits(c, frame[c.name])]
    if absent or wrong:
        got = [f"no column {name}" for name in absent]
        got += [f"{name} as {frame[name].dtype}" for name in wrong]
        kinds = {c.name: c.kind for c in columns}
        raise InputError(
            "the rows are not what the model was trained on",
            got=", ".join(got),
            expected=", ".join(f"{name} ({kinds[name]})" for name in [*absent, *wrong]),
            next_step="build the features with the definitions the model was trained with, "
            "or train again",
        )
    return frame[[c.name for c in columns]]


def matrix(columns: Sequence[Column], frame: pd.DataFrame) -> Array:
    """`frame` as float64, rows × columns in the model's order; missing and unknown levels NaN.

    It lies in memory by column, as `frame` does and as its readers go through it.
    """
    chosen = checked(columns, frame)
    result = np.empty((len(chosen), len(columns)), order="F")
    for place, column in enumerate(columns):
        values = chosen[column.name]
        known = _codes(values, column.levels) if column.kind == "category" else _numbers(values)
        result[:, place] = known
    return result


def to_spec(columns: Sequence[Column]) -> list[dict[str, Any]]:
    return [{"name": c.name, "kind": c.kind, "levels": list(c.levels)} for c in columns]


def from_spec(spec: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    return tuple(Column(c["name"], c["kind"], tuple(c["levels"])) for c in spec)


def _levels(values: pd.Series) -> tuple[str, ...]:
    counts = values.dropna().astype(str).value_counts()
    frequent = counts[counts >= MIN_LEVEL_ROWS]
    ordered = sorted(frequent.items(), key=lambda level: (-level[1], level[0]))
    return tuple(str(name) for name, _ in ordered[:MAX_LEVELS])


def _codes(values: pd.Series, levels: Sequence[str]) -> Array:
    """The place of each value in `levels`; NaN when it is missing or not among them."""
    places = {level: float(place) for place, level in enumerate(levels)}
    return values.astype(object).map(places).to_numpy(dtype=float, na_value=np.nan)


def _numbers(values: pd.Series) -> Array:
    """Values as float64; infinities count as missing."""
    numbers: Array = values.to_numpy(dtype=float, na_value=np.nan)
    infinite = np.isinf(numbers)
    return np.where(infinite, np.nan, numbers) if infinite.any() else numbers


def _fits(column: Column, values: pd.Series) -> bool:
    is_number = pd.api.types.is_numeric_dtype(values.dtype)
    return is_number == (column.kind == "number") or bool(values.isna().all())
