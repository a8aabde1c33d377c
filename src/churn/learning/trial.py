"""What a training leaves behind: its figures beside those of its rivals, and evidence for the gate."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import pandas as pd

from churn.features.definitions import Feature
from churn.features.labels import Definition
from churn.learning import backtest, gate, intervals, reach, splits, titles
from churn.learning.backtest import MODEL, Backtest, Contestants, Origin
from churn.learning.models import Model, Recipe

SHOWN = ("average_precision", "lift_at_list", "roc_auc", "log_loss_skill", "calibration_ratio")
"""The figures whose intervals are kept with a model."""


def run(
    rows: pd.DataFrame,
    *,
    definition: Definition,
    features: Sequence[Feature],
    contestants: Contestants,
    n_origins: int,
    n_test: int,
    list_share: float,
    learners: Collection[str] | None = None,
) -> Backtest | None:
    """Rolling origins inside the mature `rows` of one panel, learning from `learners` alone (ids of
    customers; None: from all) and judged on everybody.

    None when no origin leaves enough to learn from: then there are no honest figures. What an
    origin here knows too much, and why that is small: docs/decisions/009-backtest.md.
    """
    origins = _origins(rows, definition, features, n_origins=n_origins, n_test=n_test)
    if learners is not None:
        origins = [
            replace(o, train=o.train[o.train["customer_id"].isin(learners)]) for o in origins
        ]
    return backtest.run(origins, contestants=contestants, list_share=list_share)


def evidence(
    found: Backtest | None,
    model: Model,
    rows: pd.DataFrame,
    *,
    contestants: Contestants,
    draws: int,
    seed: int,
) -> dict[str, Any] | None:
    """What the gate judges, as JSON types; None where nothing could be judged.

    Labels are shuffled at the first origin, which has the fewest rows to fit; contributions are
    those of the registered `model` on the latest rows.
    """
    if found is None:
        return None
    by_name = backtest.drawn(found, n=draws, seed=seed)
    pooled = found.figures[MODEL]
    latest = rows[rows["snapshot"] == rows["snapshot"].max()]
    return {
        "n_origins": len(found.origins),
        "n_rows": pooled["n_rows"],
        "n_churned": pooled["n_churned"],
        "log_loss_skill": pooled.get("log_loss_skill"),
        "calibration_ratio": pooled.get("calibration_ratio"),
        "intervals": {
            name: {key: intervals.interval(values[key]) for key in SHOWN}
            for name, values in by_name.items()
        },
        "differences": backtest.differences(by_name),
        "champion": against_champion(found),
        "shuffled": backtest.shuffled(found.first, contestants=contestants, seed=seed),
        "largest": backtest.largest_share(model, latest),
    }


def against_champion(found: Backtest) -> dict[str, Any] | None:
    """Average precision minus the champion's, pooled and by origin (where both have one)."""
    if "champion" not in found.scores:
        return None
    key = "average_precision"
    mine, its = found.figures[MODEL], found.figures["champion"]
    by_origin = [
        one[MODEL][key] - one["champion"][key]
        for one in found.by_origin.values()
        if key in one[MODEL] and key in one["champion"]
    ]
    return {
        key: its.get(key, 0.0),
        "difference": mine.get(key, 0.0) - its.get(key, 0.0),
        "by_origin": by_origin,
    }


def best_rule(found: Backtest | None, names: Sequence[str]) -> str | None:
    """The rule of `names` with the highest average precision; the first one where none was judged."""
    if not names:
        return None
    figures = found.figures if found is not None else {}
    return max(names, key=lambda name: figures.get(name, {}).get("average_precision", 0.0))


def record(
    rows: pd.DataFrame,
    model: Model,
    found: Backtest | None,
    *,
    recipe: Recipe,
    evidence: Mapping[str, Any] | None = None,
    ablation: Mapping[str, Any] | None = None,
    churned_on: pd.DataFrame | None = None,
    min_churned: int = 20,
) -> dict[str, Any]:
    """What is worth knowing about a training on `rows`, as JSON types.

    `test` is None without figures, `ablation` (see `ablation.worth`) where nobody asked for it;
    `churned_on` as in `reach.lead_time`. Threads are left out:
    they change no figure, and a record should not know its machine.
    """
    return {
        "training_snapshots": [str(s) for s in sorted(rows["snapshot"].unique())],
        "n_rows": len(rows),
        "n_churned": int(rows["label"].sum()),
        "base_rate": float(rows["label"].mean()),
        "involuntary_share": involuntary_share(rows),
        "n_features": len(model.columns),
        "recipe": {key: value for key, value in asdict(recipe).items() if key != "threads"},
        "calibration": asdict(model.calibration),
        "evidence": evidence,
        "ablation": ablation,
        "test": None if found is None else _tested(found, churned_on, min_churned=min_churned),
    }


def involuntary_share(rows: pd.DataFrame) -> float | None:
    """Of those who churned, the share whose payment had failed; None where the log does not say."""
    if "is_involuntary" not in rows:
        return None
    known = rows.loc[rows["label"] == 1, "is_involuntary"].dropna()
    return float(known.mean()) if len(known) else None


def figures(record: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a record as one flat table: `<contestant>.<figure>` and `train.<figure>`."""
    by_name = record["test"]["figures"] if record["test"] else {}
    flat = {
        f"{name}.{key}": value for name, found in by_name.items() for key, value in found.items()
    }
    evidence = record.get("evidence") or {}
    for rival, found in evidence.get("differences", {}).items():
        low = found["average_precision"]["low"]
        if low is not None:
            flat[f"model_minus_{rival}.average_precision_low"] = low
    return {**flat, "train.base_rate": record["base_rate"], "train.n_rows": record["n_rows"]}


def summary(
    found: Backtest, churned_on: pd.DataFrame, *, draws: int, seed: int, min_churned: int
) -> dict[str, Any]:
    """Everything there is to say, as JSON types; `churned_on` as in `reach.lead_time`.

    `gate` holds those rules that figures alone can decide, for the model and every guest.
    """
    by_name = backtest.drawn(found, n=draws, seed=seed)
    candidates = [MODEL, *(name for name in found.scores if name not in titles.TITLES)]
    minus = {name: backtest.differences(by_name, of=name) for name in candidates}
    return {
        "list_share": found.list_share,
        "origins": _origins_told(found),
        "figures": found.figures,
        "intervals": {
            name: {key: intervals.interval(values) for key, values in each.items()}
            for name, each in by_name.items()
        },
        "differences": minus[MODEL],
        "spread": backtest.spread(found),
        "turnover": _turnovers(found),
        "lead_time": _lead_times(found, churned_on),
        "groups": reach.groups(found, min_churned=min_churned),
        "gate": {
            name: [asdict(v) for v in gate.on_figures(found.figures[name], minus[name])]
            for name in candidates
        },
        "left_out": dict(found.left_out),
    }


def predictions(found: Backtest) -> pd.DataFrame:
    """Every contestant's score and risk by origin, snapshot and customer."""
    columns = {f"score_{name}": values for name, values in found.scores.items()}
    columns |= {f"risk_{name}": values for name, values in found.risks.items()}
    rows = found.rows[["origin", "snapshot", "customer_id", "label"]]
    return pd.concat([rows, pd.DataFrame(columns)], axis=1)


def _tested(
    found: Backtest, churned_on: pd.DataFrame | None, *, min_churned: int
) -> dict[str, Any]:
    return {
        "lead_times": None if churned_on is None else _lead_times(found, churned_on),
        "snapshots": [str(s) for one in found.origins for s in one.test_snapshots],
        "origins": _origins_told(found),
        "figures": found.figures,
        "spread": backtest.spread(found),
        "groups": reach.groups(found, min_churned=min_churned),
        "turnovers": _turnovers(found),
    }


def _turnovers(found: Backtest) -> dict[str, float | None]:
    return {name: reach.turnover(found, name=name) for name in found.scores}


def _lead_times(found: Backtest, churned_on: pd.DataFrame) -> dict[str, Any]:
    return {name: reach.lead_time(found, churned_on, name=name) for name in found.scores}


def _origins(
    rows: pd.DataFrame,
    definition: Definition,
    features: Sequence[Feature],
    *,
    n_origins: int,
    n_test: int,
) -> list[Origin]:
    split = splits.rolling(
        list(rows["snapshot"].unique()),
        n_origins=n_origins,
        n_test=n_test,
        gap_days=definition.gap_days,
        horizon_days=definition.horizon_days,
    )
    made = backtest.from_panel(rows, split, features=features)
    return [Origin(o.at, o.train, reach.grouped(o.test, o.train), o.features) for o in made]


def _origins_told(found: Backtest) -> list[dict[str, Any]]:
    return [
        {
            "at": str(one.at),
            "training_snapshots": [str(s) for s in one.training_snapshots],
            "test_snapshots": [str(s) for s in one.test_snapshots],
            "n_rows": one.n_rows,
            "n_churned": one.n_churned,
            "figures": found.by_origin[one.at],
        }
        for one in found.origins
    ]
