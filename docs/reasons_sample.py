"""Ten reasons at random from each workspace, every number counted again in the raw log.

    python docs/reasons_sample.py NAME=WORKSPACE [NAME=WORKSPACE ...] > docs/reasons-sample.md

The log is read as it was delivered (Parquet files below WORKSPACE/demo or WORKSPACE/complete_journey)
and counted by pandas, without roll-up, features or engine. A sentence is right if one of the
sentences that its family has, filled in with these counts, is the same to the letter. Exits 1 on the
first that is not.
"""

import sys
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from churn.io import tables
from churn.retention import language
from churn.settings import Settings, spoken

SEED, N = 7, 10
ARRIVAL_HOURS = 6
SUPPORT, ERROR, FAILED = "support_ticket", "error", "payment_failed"
LOOKBACK_DAYS = 365


@dataclass(frozen=True)
class Log:
    """What a source delivered, as known at `as_of`; customers' side tables where there are any."""

    events: pd.DataFrame
    subscriptions: pd.DataFrame | None
    customers: pd.DataFrame
    contacts: pd.DataFrame
    as_of: date


def main(arguments: list[str]) -> None:
    print("# Reasons, checked against the log\n")
    print(
        "Made by `docs/reasons_sample.py`: ten reasons picked at random (seed 7) among those of the "
        "listed customers, and every number in them counted again in the raw log.\n"
    )
    for argument in arguments:
        name, _, place = argument.partition("=")
        print(f"## {name}\n")
        print("\n".join(told(Path(place), n=N)), end="\n\n")


def told(place: Path, *, n: int | None) -> list[str]:
    """A Markdown table of `n` reasons (None: all) of the latest list in workspace `place`."""
    as_of = max(tables.names(place / "reasons"))
    reasons = tables.read(place / "reasons", made_by="explain", part=as_of)
    chosen = reasons if n is None else reasons.sample(min(n, len(reasons)), random_state=SEED)
    log = delivered(place, date.fromisoformat(as_of), set(chosen["customer_id"]))
    lines = [
        f"As of {as_of}, {len(chosen)} of {len(reasons):,} reasons.\n",
        "| customer | reason | counted in the log | how such customers fared |\n|---|---|---|---|",
    ]
    for row in chosen.itertuples():
        counted = checked(row, numbers(log, row.customer_id), log.as_of)
        shown = ", ".join(f"{name} {value:,.4g}" for name, value in counted.items())
        fared = "" if pd.isna(row.evidence) else row.evidence
        lines.append(f"| {row.customer_id} | {row.sentence} | {shown} | {fared} |")
    return lines


def checked(row: Any, found: dict[str, Any], as_of: date) -> dict[str, Any]:
    """The numbers of the sentence that `found` says to the letter; exits where none does."""
    said = spoken(Settings())
    tried = []
    for template in said.templates:
        names = language.fields(template.say)
        if (template.voice, template.direction) != (row.family, row.direction):
            continue
        if any(found.get(name) is None for name in names):
            continue
        sentence = language.worded(template.say, found, said, as_of=as_of)
        if sentence == row.sentence:
            return {name: found[name] for name in names}
        tried.append(sentence)
    raise SystemExit(f"{row.customer_id}: {row.sentence!r} is none of {tried}")


def delivered(place: Path, as_of: date, customers: set[str]) -> Log:
    """The rows of these customers that had happened, and had arrived, by `as_of`; a line that was
    delivered twice (same event_id) once."""
    source = next(place / n for n in ("demo", "complete_journey") if (place / n).exists())
    events = pd.concat(
        [_of(pd.read_parquet(path), customers) for path in sorted((source / "events").glob("*"))]
    )
    events["ts"] = pd.to_datetime(events["ts"])
    if "loaded_at" in events:
        cut = pd.Timestamp(as_of) + pd.Timedelta(hours=ARRIVAL_HOURS)
        events = events[pd.to_datetime(events["loaded_at"]) < cut]
    if "event_id" in events:
        events = events.drop_duplicates("event_id")
    events = events[events["ts"] < pd.Timestamp(as_of)]
    first = events.groupby("customer_id")["ts"].min()
    side = source / "subscriptions.parquet"
    return Log(
        _with_age(events, as_of),
        _of(pd.read_parquet(side), customers) if side.exists() else None,
        _of(pd.read_parquet(source / "customers.parquet"), customers).assign(
            first_event_at=lambda rows: rows["customer_id"].map(first)
        ),
        _of(pd.read_parquet(source / "contacts.parquet"), customers),
        as_of,
    )


def _of(rows: pd.DataFrame, customers: set[str]) -> pd.DataFrame:
    return rows[rows["customer_id"].astype(str).isin(customers)]


def _with_age(events: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """`age` 1 is the day before `as_of`; `is_use`: a person did it, where the log names people."""
    age = (pd.Timestamp(as_of) - events["ts"].dt.normalize()).dt.days
    has_people = "user_id" in events and events["user_id"].notna().any()
    is_use = events["user_id"].notna() if has_people else pd.Series(True, index=events.index)
    kept = events.assign(age=age, is_use=is_use)
    return kept[kept["age"] <= LOOKBACK_DAYS]


def numbers(log: Log, customer: str) -> dict[str, Any]:
    """Every number that a sentence may ask for, counted by hand."""
    mine = log.events[log.events["customer_id"] == customer]
    use = mine[mine["is_use"]]
    active = sorted(use["age"].unique())
    usual = [age for age in active if 14 < age <= 70]
    return {
        "recency_days": active[0] if active else None,
        "gap_mean_days": _mean([b - a for a, b in pairwise(active)]),
        "n_active_days_14d": sum(age <= 14 for age in active),
        "n_active_days_28d": sum(age <= 28 for age in active),
        "n_active_days_usual_14d": len(usual) / 4,
        "n_events_14d": _within(use, 14),
        "n_events_28d": _within(use, 28),
        "n_events_usual_14d": (_within(use, 70) - _within(use, 14)) / 4,
        "n_events_usual_28d": (_within(use, 84) - _within(use, 28)) / 2,
        "drop_began_days": _drop(set(active)),
        "n_silences_14d": sum(b - a >= 14 for a, b in pairwise(active)),
        **_kinds(mine),
        **_of_kind(mine, ERROR, "errors"),
        **_of_kind(mine, SUPPORT, "support"),
        **_of_kind(mine, FAILED, "payment_failed"),
        "max_errors_day_28d": _worst_day(mine, ERROR),
        "support_recency_days": _last(mine, SUPPORT),
        "payment_failed_recency_days": _last(mine, FAILED),
        **_money(mine),
        **_people(mine),
        **_terms(log, customer),
        "since_contact_days": _since_contact(log, customer),
    }


def _within(rows: pd.DataFrame, days: int) -> int:
    return int((rows["age"] <= days).sum())


def _mean(values: list[int]) -> float | None:
    return sum(values) / len(values) if values else None


def _drop(active: set[int]) -> int:
    """The day from which on the customer did worst against midway between usual and now."""
    now = sum(age in active for age in range(1, 15)) / 14
    usual = sum(age in active for age in range(15, 71)) / 56
    missed, most, began = 0.0, float("-inf"), 0
    for age in range(1, 71):
        missed += (now + usual) / 2 - (age in active)
        if missed > most:
            most, began = missed, age
    return began if now < usual else 0


def _kinds(mine: pd.DataFrame) -> dict[str, int]:
    recent = set(mine.loc[mine["age"] <= 28, "event"])
    before = set(mine.loc[(mine["age"] > 28) & (mine["age"] <= 84), "event"])
    return {
        "n_event_types_28d": len(recent),
        "n_event_types_84d": len(recent | before),
        "n_event_types_dropped": len(before - recent),
    }


def _of_kind(mine: pd.DataFrame, event: str, name: str) -> dict[str, int]:
    rows = mine[mine["event"] == event]
    return {f"n_{name}_{days}d": _within(rows, days) for days in (28, 84)}


def _worst_day(mine: pd.DataFrame, event: str) -> int:
    rows = mine[(mine["event"] == event) & (mine["age"] <= 28)]
    return int(rows.groupby("age").size().max()) if len(rows) else 0


def _last(mine: pd.DataFrame, event: str) -> int | None:
    rows = mine[mine["event"] == event]
    return int(rows["age"].min()) if len(rows) else None


def _money(mine: pd.DataFrame) -> dict[str, float]:
    worth = mine.dropna(subset=["value"])
    sums = {days: float(worth.loc[worth["age"] <= days, "value"].sum()) for days in (28, 84, 182)}
    refunds = worth[worth["value"] < 0]
    return {
        **{f"value_{days}d": value for days, value in sums.items()},
        "value_usual_28d": (sums[84] - sums[28]) / 2,
        "n_negative_84d": _within(refunds, 84),
    }


def _people(mine: pd.DataFrame) -> dict[str, int]:
    if "user_id" not in mine:
        return {}
    recent = set(mine.loc[mine["age"] <= 28, "user_id"].dropna())
    before = set(mine.loc[(mine["age"] > 28) & (mine["age"] <= 84), "user_id"].dropna())
    return {"n_people_28d": len(recent), "n_people_stopped": len(before - recent)}


def _terms(log: Log, customer: str) -> dict[str, Any]:
    """The contract in force and known, and since when the customer is one."""
    who = log.customers[log.customers["customer_id"] == customer].iloc[0]
    since = who.get("signed_up_at", who["first_event_at"])
    if log.subscriptions is None:
        return {"tenure_days": _days(who["first_event_at"], log.as_of)}
    rows = log.subscriptions[log.subscriptions["customer_id"] == customer]
    day = pd.Timestamp(log.as_of)
    known = pd.to_datetime(rows["loaded_at"]) < day + pd.Timedelta(hours=ARRIVAL_HOURS)
    starts = pd.to_datetime(rows["start_date"]) < day
    in_force = ~(pd.to_datetime(rows["term_start"]) > day) & ~(
        pd.to_datetime(rows["valid_from"]) >= day
    )
    mine = rows[known & starts & in_force].sort_values(["start_date", "valid_from", "loaded_at"])
    if mine.empty:
        return {"tenure_days": _days(since, log.as_of)}
    term = mine.iloc[-1]
    return {
        "tenure_days": _days(term["start_date"], log.as_of),
        "to_renewal_days": -_days(term["term_end"], log.as_of),
        "seats": float(term["seats"]),
    }


def _days(since: Any, until: date) -> int:
    return (until - pd.Timestamp(since).date()) // timedelta(days=1)


def _since_contact(log: Log, customer: str) -> int | None:
    rows = log.contacts[log.contacts["customer_id"] == customer]
    at = pd.to_datetime(rows["contacted_at"])
    seen = at[at < pd.Timestamp(log.as_of)]
    return _days(seen.max(), log.as_of) if len(seen) else None


if __name__ == "__main__":
    main(sys.argv[1:])
