"""Rolling origins: refit at each, judged on what came later, beside everything there is to beat.

Nothing is kept from one origin to the next. What an origin knows stands in its `train` rows, whose
labels were known on that day, and in the features they were built with.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from churn.features.definitions import Feature
from churn.learning import baselines, gate, intervals, metrics, models, shapley, splits
from churn.learning.baselines import Baseline, Champion
from churn.learning.intervals import Array, Draws
from churn.learning.models import Recipe
from churn.learning.splits import Split

MODEL = "model"
WARNED_DAYS = 14

TENURE_BANDS = {"under 8 weeks": 56, "8 to 26 weeks": 182, "26 to 52 weeks": 364}
OLDEST = "over 52 weeks"

N_EXPLAINED = 2000


@dataclass(frozen=True)
class Origin:
    """A day `at` on which a model might have been trained, and what came of it.

    `train` are rows with labels known at `at`, `test` rows of snapshots from `at` on with labels
    known since. Columns of `test` that begin with `by_` say to which groups a row belongs.
    """

    at: date
    train: pd.DataFrame
    test: pd.DataFrame
    features: Sequence[Feature]


@dataclass(frozen=True)
class Judged:
    """One origin that was judged, and what it learnt from."""

    at: date
    training_snapshots: tuple[date, ...]
    test_snapshots: tuple[date, ...]
    n_rows: int
    n_churned: int


Contestants = Callable[[Origin], Mapping[str, Baseline]]


@dataclass(frozen=True)
class Backtest:
    """All origins' predictions. `rows`: origin, snapshot, customer_id, label and the `by_` groups.

    `scores` and `risks` are arrays along `rows` by contestant: the model, and those baselines that
    took part at every origin. `first` is the earliest origin, whole.
    """

    origins: tuple[Judged, ...]
    rows: pd.DataFrame
    scores: Mapping[str, Array]
    risks: Mapping[str, Array]
    list_share: float
    first: Origin
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def risk(self) -> Array:
        """The model's own."""
        return self.risks[MODEL]

    @cached_property
    def figures(self) -> dict[str, dict[str, float]]:
        """Pooled figures by contestant, units as in `metrics.UNITS`."""
        return {name: self._evaluated(name, np.full(len(self.rows), True)) for name in self.scores}

    @cached_property
    def by_origin(self) -> dict[date, dict[str, dict[str, float]]]:
        """Figures by origin and contestant."""
        where = self.rows["origin"].to_numpy()
        return {
            one.at: {name: self._evaluated(name, where == one.at) for name in self.scores}
            for one in self.origins
        }

    def _evaluated(self, name: str, which: Array) -> dict[str, float]:
        rows = self.rows[which]
        return metrics.evaluate(
            rows["label"].to_numpy(dtype=float),
            self.scores[name][which],
            snapshot=rows["snapshot"],
            list_share=self.list_share,
            risk=self.risks[name][which],
        )

    def on_list(self, name: str = MODEL) -> Array:
        return metrics.on_list(
            self.scores[name], snapshot=self.rows["snapshot"], list_share=self.list_share
        )


def run(
    origins: Iterable[Origin], *, contestants: Contestants, list_share: float
) -> Backtest | None:
    """Fit every contestant at every origin, predict what came later.

    An origin with fewer than `models.MIN_CHURNED` outcomes of either kind to learn from, or with
    nobody to judge, is passed over; None when none is left.
    """
    judged, rows, scores, risks = [], [], [], []
    first: Origin | None = None
    for origin in origins:
        label = origin.train["label"]
        if min(label.sum(), (1 - label).sum()) < models.MIN_CHURNED or origin.test.empty:
            continue
        fitted = contestants(origin)
        first = first or origin
        judged.append(_note(origin))
        rows.append(_rows(origin))
        scores.append({name: one.score(origin.test) for name, one in fitted.items()})
        risks.append({name: one.risk(origin.test) for name, one in fitted.items()})
    if first is None:
        return None
    every = list(dict.fromkeys(name for one in scores for name in one))
    names = [name for name in every if all(name in one for one in scores)]
    return Backtest(
        tuple(judged),
        pd.concat(rows, ignore_index=True),
        {name: np.concatenate([one[name] for one in scores]) for name in names},
        {name: np.concatenate([one[name] for one in risks]) for name in names},
        list_share,
        first,
        _left_out(every, names),
    )


def _left_out(every: Sequence[str], there: Sequence[str]) -> dict[str, str]:
    """Who is not pooled, and why."""
    said = {
        name: "took no part at some origin: the log had no column for it yet"
        for name in every
        if name not in there
    }
    if "champion" not in every:
        said["champion"] = "there is no model in charge"
    return said


def contestants(
    recipe: Recipe,
    *,
    champion: Champion | None = None,
    guests: Mapping[str, Callable[[], Any]] | None = None,
) -> Contestants:
    """The model of `recipe`, every baseline, the champion and anybody's classifiers (`guests`)."""

    def fitted(origin: Origin) -> dict[str, Baseline]:
        train, features = origin.train, origin.features
        fitted_model = models.fit(train, features=features, recipe=recipe)
        model = baselines.of_model(MODEL, fitted_model)
        found = {
            MODEL: model,
            **baselines.fit_all(train, features=features, recipe=recipe, model=fitted_model),
        }
        for name, make in (guests or {}).items():
            found[name] = baselines.fit_guest(name, train, features=features, make=make)
        if champion is not None:
            found["champion"] = baselines.fit_champion(
                champion, train, at=origin.at, features=features,
                others={MODEL: (features, recipe, model)},
            )  # fmt: skip
        return found

    return fitted


def only_model(recipe: Recipe) -> Contestants:
    """The model of `recipe` alone."""

    def fitted(origin: Origin) -> dict[str, Baseline]:
        return {MODEL: baselines.fit_model(MODEL, origin.train, origin.features, recipe)}

    return fitted


def from_panel(
    rows: pd.DataFrame, split: Sequence[Split], *, features: Sequence[Feature]
) -> Iterable[Origin]:
    """Origins inside one panel: cells as known at each snapshot, columns chosen at its end."""
    for one in split:
        yield Origin(one.test[0], at(rows, one.train), at(rows, one.test), features)


def at(rows: pd.DataFrame, snapshots: Sequence[date]) -> pd.DataFrame:
    return rows[rows["snapshot"].isin(list(snapshots))].reset_index(drop=True)


def mature(panel: pd.DataFrame) -> pd.DataFrame:
    """The rows of `panel` whose outcome is known, snapshots as dates, in the panel's order."""
    rows = panel[panel["label_mature"].astype(bool) & panel["label"].notna()]
    return rows.assign(snapshot=splits.days(rows["snapshot"])).reset_index(drop=True)


def drawn(found: Backtest, *, n: int, seed: int) -> dict[str, dict[str, Array]]:
    """The figures of every contestant in the same `n` draws of customers (see `intervals`)."""
    draws = Draws.of(found.rows, list_share=found.list_share, n=n, seed=seed)
    return {
        name: intervals.figures(draws, found.scores[name], found.risks[name])
        for name in found.scores
    }


def differences(
    by_name: Mapping[str, Mapping[str, Array]], *, of: str = MODEL
) -> dict[str, dict[str, dict[str, float | None]]]:
    """One contestant minus each other, paired, with intervals."""
    return {
        name: intervals.difference(by_name[of], other)
        for name, other in by_name.items()
        if name != of
    }


def spread(found: Backtest) -> dict[str, dict[str, float]]:
    """Standard deviation of each figure over the origins, by contestant; at least two origins."""
    if len(found.by_origin) < 2:
        return {}
    frames = {
        name: pd.DataFrame([one[name] for one in found.by_origin.values()]) for name in found.scores
    }
    return {
        name: {str(key): float(value) for key, value in frame.std(ddof=1).dropna().items()}
        for name, frame in frames.items()
    }


def groups(found: Backtest, *, min_churned: int) -> list[dict[str, Any]]:
    """The model's figures and who gets help, by group and level.

    `listed_share` is the share of rows on the list, `recall_at_list` that of the churned who were.
    Groups with fewer than `min_churned` churned or staying rows are counted and not judged: their
    figures are None.
    """
    rows = found.rows.assign(is_listed=found.on_list(), risk=found.risk)
    result = []
    for column in [name for name in rows.columns if name.startswith("by_")]:
        for level, part in rows.groupby(column, dropna=False, sort=True):
            name = "unknown" if pd.isna(level) else str(level)
            counted = {"group": column.removeprefix("by_"), "level": name}
            result.append(counted | _group(part, min_churned=min_churned))
    return result


def _group(part: pd.DataFrame, *, min_churned: int) -> dict[str, Any]:
    label = part["label"].to_numpy(dtype=float)
    is_listed, n_churned = part["is_listed"].to_numpy(), int(label.sum())
    is_judged = min(n_churned, len(part) - n_churned) >= min_churned
    figures: dict[str, Any] = dict.fromkeys(
        ("churn_rate", "listed_share", "precision_at_list", "recall_at_list",
         "calibration_ratio", "roc_auc", "average_precision")
    )  # fmt: skip
    if is_judged:
        whole = metrics.evaluate(
            label, part["risk"].to_numpy(), snapshot=part["snapshot"], list_share=1.0
        )
        hits = float(label[is_listed].sum())
        figures |= {name: whole[name] for name in figures if name in whole}
        figures |= {
            "churn_rate": float(label.mean()),
            "listed_share": float(is_listed.mean()),
            "precision_at_list": hits / is_listed.sum() if is_listed.any() else None,
            "recall_at_list": hits / n_churned,
        }
    n_customers = int(part["customer_id"].nunique())
    return {
        "n_rows": len(part), "n_customers": n_customers, "n_churned": n_churned,
        "is_judged": is_judged, **figures,
    }  # fmt: skip


def turnover(found: Backtest, *, name: str = MODEL) -> float | None:
    """Share of a list that was not on the list of the snapshot before, mean over the lists."""
    listed = found.rows[found.on_list(name)].groupby("snapshot")["customer_id"].agg(set)
    shares = [
        len(now - before) / len(now)
        for before, now in zip(listed.iloc[:-1], listed.iloc[1:], strict=True)
    ]
    return float(np.mean(shares)) if shares else None


def lead_time(
    found: Backtest, churned_on: pd.DataFrame, *, name: str = MODEL
) -> dict[str, float | int | None]:
    """How long before they left the churned had first stood on the list.

    `churned_on` has snapshot, customer_id and the day on which a churned row's customer left. Only
    customers who left at least 14 days after the first list count: nobody could have warned of
    the others in time. A customer who was never listed before leaving was not warned.
    """
    rows = found.rows[["snapshot", "customer_id", "label"]].assign(is_listed=found.on_list(name))
    dated = rows.merge(churned_on, on=["snapshot", "customer_id"], how="left")
    dated = dated[(dated["label"] == 1) & dated["churned_on"].notna()]
    left = pd.to_datetime(dated.groupby("customer_id")["churned_on"].max())
    first = pd.Timestamp(min(rows["snapshot"]))
    left = left[left >= first + pd.Timedelta(days=WARNED_DAYS)]
    entered = rows[rows["is_listed"]].groupby("customer_id")["snapshot"].min()
    days = (left - pd.to_datetime(entered.reindex(left.index))).dt.days
    warned = days[days > 0]
    return {
        "n_left": len(left),
        "n_listed_before": len(warned),
        "median_days": float(warned.median()) if len(warned) else None,
        "warned_share": float((days >= WARNED_DAYS).sum() / len(left)) if len(left) else None,
    }


def summary(
    found: Backtest, churned_on: pd.DataFrame, *, draws: int, seed: int, min_churned: int
) -> dict[str, Any]:
    """Everything there is to say, as JSON types; `churned_on` as in `lead_time`.

    `gate` holds those rules that figures alone can decide, for the model and every guest.
    """
    by_name = drawn(found, n=draws, seed=seed)
    candidates = [MODEL, *(name for name in found.scores if name not in baselines.TITLES)]
    minus = {name: differences(by_name, of=name) for name in candidates}
    return {
        "list_share": found.list_share,
        "origins": [
            {
                "at": str(one.at),
                "training_snapshots": [str(s) for s in one.training_snapshots],
                "test_snapshots": [str(s) for s in one.test_snapshots],
                "n_rows": one.n_rows,
                "n_churned": one.n_churned,
                "figures": found.by_origin[one.at],
            }
            for one in found.origins
        ],
        "figures": found.figures,
        "intervals": {
            name: {key: intervals.interval(values) for key, values in each.items()}
            for name, each in by_name.items()
        },
        "differences": minus[MODEL],
        "spread": spread(found),
        "turnover": {name: turnover(found, name=name) for name in found.scores},
        "lead_time": {name: lead_time(found, churned_on, name=name) for name in found.scores},
        "groups": groups(found, min_churned=min_churned),
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


def shuffled(
    origin: Origin, *, contestants: Contestants, seed: int, of: str = MODEL
) -> dict[str, float] | None:
    """ROC AUC of the same training where labels are chance: shuffled within each snapshot.

    Test labels are shuffled too. Then the AUC is .5 up to its standard error, sqrt((n + 1) /
    (12 n0 n1)) (Mann & Whitney 1947), whatever the features are, unless training saw what it is
    tested on. With true test labels a model of noise may lean towards or away from the truth by
    far more than that.
    """
    random = np.random.default_rng([seed, 1])
    mixed = Origin(
        origin.at, _mixed(origin.train, random), _mixed(origin.test, random), origin.features
    )
    label = mixed.test["label"].to_numpy(dtype=float)
    n, n_churned = len(label), label.sum()
    if not 0 < n_churned < n:
        return None
    score = contestants(mixed)[of].score(mixed.test)
    found = metrics.evaluate(label, score, snapshot=mixed.test["snapshot"], list_share=1.0)
    error = float(np.sqrt((n + 1) / (12 * n_churned * (n - n_churned))))
    return {"roc_auc": found["roc_auc"], "standard_error": error}


def largest_share(model: models.Model, rows: pd.DataFrame) -> dict[str, Any]:
    """The feature with the largest share of the mean |contribution| over a sample of `rows`."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(N_EXPLAINED, len(rows))).astype(int))
    parts = shapley.contributions(model, rows.iloc[chosen]).drop(columns=shapley.BASE)
    strength = parts.abs().mean()
    total = float(strength.sum())
    name = str(strength.idxmax())
    return {"feature": name, "share": float(strength.max()) / total if total > 0 else 0.0}


def grouped(test: pd.DataFrame, train: pd.DataFrame) -> pd.DataFrame:
    """`test` with the groups that its own columns tell: tenure band, contract, newcomers.

    A newcomer started after the last training snapshot; where no tenure is known, is a customer
    of whom training had no row.
    """
    found = test.copy()
    last = pd.Timestamp(max(train["snapshot"])) if len(train) else None
    tenure = test["tenure_days"].astype(float) if "tenure_days" in test else None
    if tenure is not None:
        edges = [-np.inf, *TENURE_BANDS.values(), np.inf]
        band = pd.cut(tenure, edges, right=False, labels=[*TENURE_BANDS, OLDEST])
        found["by_tenure"] = band.astype(object)
    if last is not None:
        unseen = ~test["customer_id"].isin(set(train["customer_id"]))
        since = (pd.to_datetime(test["snapshot"]) - last).dt.days
        is_new = unseen if tenure is None else (tenure < since)
        found["by_newcomer"] = np.where(is_new, "joined after training", "known to training")
    if "plan" in test:
        found["by_contract"] = test["plan"].astype(object)
    return found


def _mixed(rows: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    label = rows["label"].to_numpy(dtype=float).copy()
    for places in rows.reset_index(drop=True).groupby("snapshot").indices.values():
        label[places] = random.permutation(label[places])
    return rows.assign(label=label)


def _note(origin: Origin) -> Judged:
    return Judged(
        origin.at,
        tuple(sorted(origin.train["snapshot"].unique())),
        tuple(sorted(origin.test["snapshot"].unique())),
        len(origin.train),
        int(origin.train["label"].sum()),
    )


def _rows(origin: Origin) -> pd.DataFrame:
    named = [name for name in origin.test.columns if name.startswith("by_")]
    kept = origin.test[["snapshot", "customer_id", "label", *named]]
    return kept.assign(origin=origin.at)
