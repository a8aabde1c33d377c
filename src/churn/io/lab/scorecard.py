"""The figures of the latest training as files that DVC compares and notebooks plot.

`metrics/NAME.json`: the figures of the model and of each baseline (units: `learning.titles.UNITS`;
empty when it was not judged). `plots/gain.csv`: share contacted, and the share of the churned that
each contestant has caught by then. `plots/calibration.csv`: predicted and observed churn in groups
of test rows. No customer is in them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from churn.io import tables
from churn.learning import metrics, titles
from churn.learning.backtest import Backtest

METRICS, GAIN, CALIBRATION = "metrics", "plots/gain.csv", "plots/calibration.csv"

CONTESTANTS = {name: title for name, title in titles.TITLES.items() if name != "champion"}
"""DVC wants every file every time, and a champion is not always there."""

GRID = np.unique(np.concatenate([np.linspace(0, 0.1, 51), np.linspace(0, 1, 101)]).round(4))
"""Shares contacted at which the gain is written: fine where the list ends."""


def write(place: Path, record: Mapping[str, Any], judged: Backtest | None) -> None:
    """Write the files under `place`; they are empty when nothing could be judged."""
    figures = record["test"]["figures"] if record["test"] else {}
    for name in CONTESTANTS:
        tables.write_json(place / METRICS / f"{name}.json", figures.get(name, {}))
    for name, frame in ((GAIN, _gain(judged)), (CALIBRATION, _calibration(judged))):
        content = frame.round(6).to_csv(index=False, lineterminator="\n")
        tables.write_bytes(place / name, content.encode())


def read(place: Path) -> pd.DataFrame:
    """One row per contestant, one column per figure; empty when nothing could be judged."""
    found = {
        title: tables.read_json(place / METRICS / f"{name}.json")
        for name, title in CONTESTANTS.items()
    }
    return pd.DataFrame({title: figures for title, figures in found.items() if figures}).T


def _gain(judged: Backtest | None) -> pd.DataFrame:
    if judged is None:
        return pd.DataFrame(columns=["contacted", "model", "at_random"])
    label = judged.rows["label"].to_numpy(dtype=float)
    caught = {
        name: np.interp(GRID, *metrics.gain(label, score)) for name, score in judged.scores.items()
    }
    return pd.DataFrame({"contacted": GRID, **caught, "at_random": GRID})


def _calibration(judged: Backtest | None) -> pd.DataFrame:
    if judged is None:
        return pd.DataFrame(columns=["predicted", "observed", "ideal", "n_rows"])
    label, n = judged.rows["label"].to_numpy(dtype=float), len(judged.rows)
    bins = metrics.calibration_bins(label, judged.risk, n_bins=min(10, max(2, n // 50)))
    return bins.assign(ideal=bins["predicted"])
