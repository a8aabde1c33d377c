"""What became of customers for whom a family spoke: which reasons may be shown, and how they fared.

A reason is a claim: customers like this one leave more often. Each origin of a backtest checks it
with the model it trained itself, on customers that this model had not seen the end of.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from churn.learning import hazard
from churn.retention.language import LOWERS, RAISES, Language, worded
from churn.retention.reasons import MIN_CONTRIBUTION, N_LOWERING, N_RAISING, template_of

MIN_LEFT = 20
"""Customers who left (or, for a protecting factor, would have at the average rate) behind a figure."""

Z_SURE = 2.326
"""One-sided 99 %. A lift of 1.5 or more is seen by luck in one of a hundred families of noise at
worst (few leavers), and needs 49 leavers itself, a lift of 2 needs 22. So a lucky handful does not
pass, and a family that many speak of need not be twice as strong."""

Z_WILSON = 1.645

MIN_VERDICTS = 10
"""So many verdicts before a family can be muted: three people in a bad week are no record."""

ABOUT_REASONS = ("right", "wrong reason", "data error")
"""The verdicts that say something about a reason. "already known" was true, and "out of our hands"
is about what can be done."""


def sampled(rows: pd.DataFrame, *, most: int, seed: int) -> pd.DataFrame:
    """At most about `most` of the labelled `rows`, with `weight`: how many rows each stands for.

    Contributions are what takes time, leavers are what the figures hang on, and they are few: of
    leavers, in the horizon or in eight weeks, at most half of `most`, of the others the rest, drawn at
    random.
    """
    random = np.random.default_rng([seed, 2])
    is_leaver = (rows["label"] == 1).to_numpy() | (_left_in_eight_weeks(rows) == 1)
    left, stayed = np.flatnonzero(is_leaver), np.flatnonzero(~is_leaver)
    n_left = min(len(left), most // 2)
    parts = []
    for places, n in ((left, n_left), (stayed, min(len(stayed), most - n_left))):
        chosen = np.sort(random.choice(places, size=n, replace=False))
        parts.append(rows.iloc[chosen].assign(weight=len(places) / max(n, 1)))
    return pd.concat(parts, ignore_index=True)


def heard(
    rows: pd.DataFrame,
    voices: pd.DataFrame,
    said: Language,
    *,
    matching: pd.DataFrame,
    gap_days: int = 0,
) -> pd.DataFrame:
    """What each voice says of each of `rows`: as `rows` (origin, snapshot, customer_id, label,
    weight), then family, direction, contribution (log-odds) and may_speak: strong enough, and with
    a sentence that may be said. Rows × voices, the voices of a row together.

    The label of a voice that speaks of eight weeks is whether the customer left in those, null while
    they are not over, and `days` how long after the snapshot; null for the other voices.
    """
    strengths = voices[list(said.voices)].to_numpy(dtype=float)
    is_loud = np.abs(strengths) >= MIN_CONTRIBUTION
    may_speak = is_loud & (template_of(strengths, said, matching) >= 0)
    kept = rows[["origin", "snapshot", "customer_id", "label", "weight"]]
    made = kept.loc[kept.index.repeat(len(said.voices))].reset_index(drop=True)
    made["family"] = np.tile(np.array(list(said.voices), dtype=object), len(rows))
    made["direction"] = np.where(strengths.ravel() > 0, RAISES, LOWERS)
    made["contribution"] = strengths.ravel()
    made["may_speak"] = may_speak.ravel()
    is_late = made["family"].isin(said.late)
    n_late = len(said.late)
    made.loc[is_late, "label"] = np.repeat(_left_in_eight_weeks(rows), n_late)
    if "left_after_days" in rows:
        made.loc[is_late, "days"] = np.repeat(
            rows["left_after_days"].to_numpy(float) + gap_days, n_late
        )
    return made


def _left_in_eight_weeks(rows: pd.DataFrame) -> np.ndarray:
    """1 for who left within them, 0 for who stayed, null where nobody can tell yet."""
    if not {"left_after_days", "known_days"} <= set(rows.columns):
        return np.full(len(rows), np.nan)
    days = hazard.LIST_WEEKS * hazard.WEEK_DAYS
    return np.where(rows["known_days"] >= days, rows["left_after_days"] < days, np.nan)


def weighed(
    heard: pd.DataFrame, churned_on: pd.DataFrame | None = None, *, min_lift: float
) -> list[dict[str, Any]]:
    """The record of each family and direction over all origins, as JSON types.

    `lift`: churn rate of rows for which it spoke over the average rate of their origins, with 99 %
    bounds `low` and `high` (one-sided each); `n_left` customers who left of those; `coverage` the
    share of all leavers for whom it spoke; `lead_time_days` the median from snapshot to the day of
    leaving (`churned_on`: snapshot, customer_id, churned_on), null where unknown; `is_shown`.

    "Spoke" is what a list shows: among the three strongest that raise, or the strongest that
    protects. Where one is not shown the next moves up, so families fall out one at a time, the
    weakest first, and the figures of those left are those of a list without the fallen.
    """
    table = _wide(heard, churned_on)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for direction, n_shown in ((RAISES, N_RAISING), (LOWERS, N_LOWERING)):
        fallen: list[str] = []
        while True:
            spoke = _first(table, direction, n_shown, silent=fallen)
            records = {
                name: _record(table, spoke[:, column], column, direction, min_lift=min_lift)
                for column, name in enumerate(table.families)
                if name not in fallen
            }
            found |= {(name, direction): record for name, record in records.items()}
            spoken = {name: one for name, one in records.items() if one["lift"] is not None}
            failing = [name for name, one in spoken.items() if not one["is_shown"]]
            if not failing:
                break
            worst = min if direction == RAISES else max
            fallen.append(worst(failing, key=lambda name: spoken[name]["lift"]))
    return [{"family": f, "direction": d, **one} for (f, d), one in found.items()]


@dataclass(frozen=True)
class _Wide:
    """`heard` with one row per customer and snapshot; arrays but `customer` are rows × families.

    `strength` (NaN where silent), who `left`, the `weight` of the row (0 where that is not known),
    `average`, the churn rate of the row's origin, `days` until leaving, and `per_customer`, customers
    per row among those who left (one customer may leave after several snapshots, and is one piece of
    luck).
    """

    families: list[str]
    customer: np.ndarray
    strength: np.ndarray
    left: np.ndarray
    weight: np.ndarray
    average: np.ndarray
    days: np.ndarray
    per_customer: list[float]


def _wide(heard: pd.DataFrame, churned_on: pd.DataFrame | None) -> _Wide:
    families = list(dict.fromkeys(heard["family"]))
    rows = heard.iloc[:: len(families)].reset_index(drop=True)
    strength, label, weight = (
        values.to_numpy(dtype=float).reshape(-1, len(families))
        for values in (
            heard["contribution"].where(heard["may_speak"]), heard["label"], heard["weight"],
        )
    )  # fmt: skip
    left, weight = label == 1, np.where(np.isnan(label), 0.0, weight)
    average = np.zeros(left.shape)
    for places in rows.groupby("origin").indices.values():
        everybody = weight[places].sum(axis=0)
        average[places] = (weight * left)[places].sum(axis=0) / np.maximum(everybody, 1e-12)
    customer = rows["customer_id"].to_numpy(dtype=object)
    n_left = (weight * left).sum(axis=0)
    per_customer = [
        len(set(customer[left[:, k]])) / max(n, 1.0) for k, n in enumerate(n_left.tolist())
    ]
    days = np.repeat(_days_until(rows, churned_on)[:, None], len(families), axis=1)
    if "days" in heard:
        own = heard["days"].to_numpy(dtype=float).reshape(-1, len(families))
        days = np.where(np.isnan(own), days, own)
    return _Wide(families, customer, strength, left, weight, average, days, per_customer)


def _days_until(rows: pd.DataFrame, churned_on: pd.DataFrame | None) -> np.ndarray:
    if churned_on is None:
        return np.full(len(rows), np.nan)
    keys = ["snapshot", "customer_id"]
    once = churned_on.drop_duplicates(keys, keep="last")
    dated = rows[keys].merge(once, on=keys, how="left")
    gone = pd.to_datetime(dated["churned_on"]) - pd.to_datetime(dated["snapshot"])
    return gone.dt.days.to_numpy(dtype=float, na_value=np.nan)


def _first(table: _Wide, direction: str, n_shown: int, *, silent: Collection[str]) -> np.ndarray:
    """Whether each family is among the `n_shown` strongest that speak in `direction`, by row."""
    signed = table.strength if direction == RAISES else -table.strength
    loud = np.where(signed >= MIN_CONTRIBUTION, signed, -np.inf)
    for name in silent:
        loud[:, table.families.index(name)] = -np.inf
    place = np.argsort(np.argsort(-loud, axis=1, kind="stable"), axis=1, kind="stable")
    return (place < n_shown) & np.isfinite(loud)


def _record(
    table: _Wide, spoke: np.ndarray, column: int, direction: str, *, min_lift: float
) -> dict[str, Any]:
    weight, left = table.weight[:, column], table.left[:, column]
    spoke = spoke & (weight > 0)
    observed = float(weight[spoke & left].sum())
    expected = float((weight * table.average[:, column])[spoke].sum())
    n_left = len(set(table.customer[spoke & left]))
    n_expected = expected * table.per_customer[column]
    same = n_left * expected / observed if observed > 0 else n_expected
    days = table.days[spoke & left, column]
    days = days[np.isfinite(days)]
    record = {
        "lift": observed / expected if expected > 0 else None,
        "low": _poisson_low(n_left) / same if n_expected > 0 else None,
        "high": _poisson_high(n_left) / same if n_expected > 0 else None,
        "n_left": n_left,
        "n_expected": n_expected,
        "coverage": observed / float(weight[left].sum()) if left.any() else None,
        "lead_time_days": float(np.median(days)) if len(days) else None,
    }
    return record | {"is_shown": is_shown(record, direction, min_lift=min_lift)}


def is_shown(record: Mapping[str, Any], direction: str, *, min_lift: float) -> bool:
    """Whether a family may be shown: as a reason with a lift of at least `min_lift`, surely above 1;
    as protecting the same upside down. A protecting family has few leavers by nature, so there the
    leavers that an average family of its size would have had must be enough."""
    if record["lift"] is None:
        return False
    if direction == RAISES:
        enough = record["n_left"] >= MIN_LEFT
        return bool(enough and record["lift"] >= min_lift and record["low"] > 1)
    enough = record["n_expected"] >= MIN_LEFT
    return bool(enough and record["lift"] <= 1 / min_lift and record["high"] < 1)


def _poisson_low(n: int) -> float:
    """Lower 99 % bound of the mean of a count (Byar's approximation; Breslow & Day 1987, II, 2.13)."""
    return float(n * (1 - 1 / (9 * n) - Z_SURE / (3 * np.sqrt(n))) ** 3) if n else 0.0


def _poisson_high(n: int) -> float:
    m = n + 1
    return float(m * (1 - 1 / (9 * m) + Z_SURE / (3 * np.sqrt(m))) ** 3)


def silent(
    records: Sequence[Mapping[str, Any]], said: Language, *, min_lift: float
) -> dict[tuple[str, str], str]:
    """The (family, direction) pairs of `said` that may not be shown by `records` (see `weighed`),
    and why in words. A family without a record never spoke where it could be checked."""
    by_key = {(one["family"], one["direction"]): one for one in records}
    found = {}
    for family in said.voices:
        for direction in (RAISES, LOWERS):
            record = by_key.get((family, direction))
            if record is None or record["lift"] is None:
                over = ", as far as eight weeks are over" if family in said.late else ""
                found[family, direction] = f"never spoke in the backtest{over}"
            elif not is_shown(record, direction, min_lift=min_lift):
                found[family, direction] = (
                    f"customers for whom it spoke left {record['lift']:.1f} times as often as "
                    f"average ({record['n_left']:.0f} who left)"
                )
    return found


def beside(
    rows: pd.DataFrame, records: Sequence[Mapping[str, Any]], said: Language
) -> pd.DataFrame:
    """`rows` of reasons with lift, lead_time_days, coverage, and evidence: the same in words. Null
    where nobody knows; a protecting factor has the figures and no words."""
    columns = ["lift", "lead_time_days", "coverage"]
    known = pd.DataFrame(
        [
            {key: one[key] for key in ["family", "direction", *columns]}
            | {"evidence": in_words(one, said) if one["direction"] == RAISES else None}
            for one in records
        ],
        columns=["family", "direction", *columns, "evidence"],
    )
    found = rows.merge(known, on=["family", "direction"], how="left", validate="many_to_one")
    found["evidence"] = found["evidence"].astype(object).where(found["evidence"].notna(), None)
    return found.astype(dict.fromkeys(columns, float))


def in_words(record: Mapping[str, Any], said: Language) -> str | None:
    """One reason's record as a sentence; it has no dates of its own."""
    if record["lift"] is None:
        return None
    is_dated = record["lead_time_days"] is not None
    template = said.evidence if is_dated else said.evidence_undated
    return worded(template, record, said, as_of=date.min)


def notes(records: Sequence[Mapping[str, Any]] | None, muted: Mapping[str, str]) -> list[str]:
    """What a reader of the list must know of its reasons, in words."""
    unchecked = "Reasons are shown without evidence: no backtest of this model has checked them."
    said = [] if records is not None else [unchecked]
    return said + [
        f"Reasons about {family} are not shown: people found them {why}."
        for family, why in muted.items()
    ]


def muted(verdicts: pd.DataFrame, *, min_right: float) -> dict[str, str]:
    """The families that people found wrong too often, and why in words.

    `verdicts`: a row per verdict with `family` and `verdict`. A family is muted when at least
    MIN_VERDICTS said something about it and the upper 95 % bound of the share "right" (Wilson 1927)
    is below `min_right`: then a lucky streak is no excuse any more.
    """
    about = verdicts[verdicts["verdict"].isin(ABOUT_REASONS)]
    found = {}
    for family, part in about.groupby("family", sort=True):
        n, n_right = len(part), int((part["verdict"] == "right").sum())
        if n >= MIN_VERDICTS and _wilson_high(n_right, n) < min_right:
            found[str(family)] = f"right in {n_right} of {n} verdicts"
    return found


def _wilson_high(k: int, n: int) -> float:
    p, z = k / n, Z_WILSON
    middle = p + z * z / (2 * n)
    spread = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return float((middle + spread) / (1 + z * z / n))
