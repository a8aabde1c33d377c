"""A recipe on trial: fitted on early snapshots, judged on the latest, beside its rivals."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pandas as pd

from churn.features.definitions import Feature
from churn.features.labels import Definition
from churn.learning import baselines, metrics, models, splits
from churn.learning.models import Array, Model, Recipe
from churn.learning.splits import Split

MODEL = "model"


@dataclass(frozen=True)
class Trial:
    """Figures by name of the contestant (`model` and the baselines), all on the rows of `test`.

    `test` is snapshot, customer_id and label of the test rows; `risk` is the model's on them and
    `scores` are what each contestant ranks them by.
    """

    split: Split
    figures: dict[str, dict[str, float]]
    test: pd.DataFrame
    risk: Array
    scores: dict[str, Array]


def run(
    rows: pd.DataFrame,
    split: Split | None,
    *,
    features: Sequence[Feature],
    recipe: Recipe,
    list_share: float,
) -> Trial | None:
    """Fit on the snapshots of `split.train`, judge on those of `split.test`.

    The whole recipe is judged, calibration included. None when there is no split or its training
    rows hold too few outcomes: then there are no honest figures.
    """
    if split is None:
        return None
    train, test = at(rows, split.train), at(rows, split.test)
    train = train.drop(columns=list(models.TIMES), errors="ignore")  # known later than the split
    if min(train["label"].sum(), (1 - train["label"]).sum()) < models.MIN_CHURNED:
        return None
    rivals = baselines.fit_all(train, features=features, recipe=recipe)
    risk = models.predict(models.fit(train, features=features, recipe=recipe), test)
    scores = {MODEL: risk, **{name: rival.score(test) for name, rival in rivals.items()}}
    risks = {MODEL: risk, **{name: rival.risk(test) for name, rival in rivals.items()}}
    figures = {
        name: metrics.evaluate(
            test["label"].to_numpy(dtype=float),
            scores[name],
            snapshot=test["snapshot"],
            list_share=list_share,
            risk=risks[name],
        )
        for name in scores
    }
    return Trial(split, figures, test[["snapshot", "customer_id", "label"]], risk, scores)


def record(
    rows: pd.DataFrame, model: Model, judged: Trial | None, *, recipe: Recipe
) -> dict[str, Any]:
    """What is worth knowing about a training on `rows`, as JSON types.

    `test` is None without figures. Threads are left out: they change no figure, and a record
    should not know its machine.
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
        "test": judged
        and {
            "snapshots": [str(s) for s in judged.split.test],
            "training_snapshots": [str(s) for s in judged.split.train],
            "figures": judged.figures,
        },
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
    return {**flat, "train.base_rate": record["base_rate"], "train.n_rows": record["n_rows"]}


def latest_split(rows: pd.DataFrame, *, definition: Definition, n_test: int) -> Split | None:
    """The split that judges on the latest snapshots of `rows` (see `splits.latest`)."""
    return splits.latest(
        list(rows["snapshot"].unique()),
        n_test=n_test,
        gap_days=definition.gap_days,
        horizon_days=definition.horizon_days,
    )


def mature(panel: pd.DataFrame) -> pd.DataFrame:
    """The rows of `panel` whose outcome is known, snapshots as dates, in the panel's order."""
    rows = panel[panel["label_mature"].astype(bool) & panel["label"].notna()]
    return rows.assign(snapshot=splits.days(rows["snapshot"])).reset_index(drop=True)


def at(rows: pd.DataFrame, snapshots: Sequence[date]) -> pd.DataFrame:
    return rows[rows["snapshot"].isin(list(snapshots))].reset_index(drop=True)
