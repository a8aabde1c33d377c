"""Two or more runs on the same rows, each minus the first: paired draws of customers, origin by origin."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from churn.learning import intervals
from churn.learning.intervals import Array, Draws

KEYS = ["origin", "snapshot", "customer_id"]

FIGURES = ("average_precision", "lift_at_list", "roc_auc", "log_loss_skill", "calibration")
"""What is compared, more being better; `calibration` is minus the distance of predicted / actual from
1, as |log|: .05 more is about five hundredths nearer."""

Differences = dict[str, dict[str, float | None]]


def ordered(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows in the one order in which runs can be laid beside each other."""
    return rows.sort_values(KEYS, kind="stable").reset_index(drop=True)


def are_same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two runs were judged on the same customers at the same origins, with the same outcomes.

    Both in the order of `ordered`.
    """
    names = [*KEYS, "label"]
    return len(one) == len(other) and bool(
        all((one[name].to_numpy() == other[name].to_numpy()).all() for name in names)
    )


def compared(
    runs: Mapping[str, pd.DataFrame], *, list_share: float, draws: int, seed: int
) -> dict[str, Any]:
    """Figures, and differences from the first of `runs`, pooled and by origin, as JSON types.

    `runs` have the same rows (`are_same`) in the same order, with `score` and `risk`. `won` counts
    the origins at which average precision is above the first's.
    """
    first, *others = runs
    pooled = _side_by_side(runs, list_share=list_share, draws=draws, seed=seed)
    origins = runs[first]["origin"]
    by_origin = [
        {"at": str(at)}
        | _side_by_side(
            {name: rows[(origins == at).to_numpy()] for name, rows in runs.items()},
            list_share=list_share, draws=draws, seed=seed,
        )
        for at in sorted(origins.unique())
    ]  # fmt: skip
    won = {
        name: sum(
            (one["differences"][name]["average_precision"]["value"] or 0) > 0 for one in by_origin
        )
        for name in others
    }
    return {"first": first, "pooled": pooled, "by_origin": by_origin, "won": won}


def _side_by_side(
    runs: Mapping[str, pd.DataFrame], *, list_share: float, draws: int, seed: int
) -> dict[str, Any]:
    first, *others = runs
    rows = runs[first]
    drawn = Draws.of(rows, list_share=list_share, n=draws, seed=seed)
    by_name = {
        name: _figures(
            drawn, each["score"].to_numpy(dtype=float), each["risk"].to_numpy(dtype=float)
        )
        for name, each in runs.items()
    }
    return {
        "n_rows": len(rows),
        "n_churned": int(rows["label"].sum()),
        "figures": {
            name: {key: intervals.interval(values) for key, values in each.items()}
            for name, each in by_name.items()
        },
        "differences": {name: _minus(by_name[name], by_name[first]) for name in others},
    }


def _figures(drawn: Draws, score: Array, risk: Array) -> dict[str, Array]:
    found = intervals.figures(drawn, score, risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        return found | {"calibration": -np.abs(np.log(found["calibration_ratio"]))}


def _minus(mine: Mapping[str, Array], other: Mapping[str, Array]) -> Differences:
    with np.errstate(invalid="ignore"):
        return {name: intervals.interval(mine[name] - other[name]) for name in FIGURES}
