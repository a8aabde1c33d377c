"""What no score may see: events after a snapshot, and events from before it that arrive after it.

Used to prove it: a roll-up with such rows in it must give the same features to the last byte.
"""

from datetime import date, timedelta

import pandas as pd

from churn.contracts import MASKS, SUMS

MANY = 1000
"""How many events each injected row stands for."""

N_LATE_DAYS = 5
ALL_BITS = (1 << 20) - 1


def usage(
    daily: pd.DataFrame, late: pd.DataFrame, *, snapshot: date, can_be_late: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`daily` and `late` as they would stand if many events had come after `snapshot`.

    Every customer gets events on the snapshot's own day and the week from it. Where rows `can_be_late`
    (the log says when they arrived), every second one also gets late rows on each of the last days
    that had arrived in time, and a late day where there was none: customers with and without late
    rows go different ways through the statement. The frames are those of `contracts.DAILY` and
    `contracts.LATE`.
    """
    known_on = snapshot + timedelta(days=1)
    pattern = daily.drop_duplicates("customer_id", keep="last")
    future = [
        _busy(pattern, day=snapshot + timedelta(days=k), known_on=snapshot + timedelta(days=k + 1))
        for k in range(7)
    ]
    if not can_be_late:
        return _ordered(pd.concat([daily, *future]), daily, ["customer_id", "day"]), late
    day, known = pd.to_datetime(daily["day"]), pd.to_datetime(daily["last_known_on"])
    in_time = (day < pd.Timestamp(snapshot)) & ((known - day).dt.days <= 1)
    has_late = pd.Series(pd.factorize(daily["customer_id"])[0] % 2 == 1, index=daily.index)
    touched = daily[in_time & has_late].groupby("customer_id").tail(N_LATE_DAYS)
    rest = daily.drop(touched.index)
    gaps = _day_without(daily, pattern[has_late[pattern.index]], snapshot)
    extra = _busy(pattern.loc[gaps.index], day=gaps, known_on=known_on)
    late_rows = [
        _late(touched, known_on=touched["first_known_on"], last=known_on),
        _late(
            _busy(touched, day=touched["day"], known_on=known_on), known_on=known_on, last=known_on
        ),
        _late(extra, known_on=known_on, last=known_on),
    ]
    grown = _added(touched).assign(last_known_on=known_on)
    days = pd.concat([rest, grown, extra, *future], ignore_index=True)
    return (
        _ordered(days, daily, ["customer_id", "day"]),
        _ordered(pd.concat([late, *late_rows]), late, ["customer_id", "day", "known_on"]),
    )


def mentions(rows: pd.DataFrame, *, of: str, snapshot: date) -> pd.DataFrame:
    """`rows` (texts or items, the column `of`) with every one said again: after the snapshot, and
    before it but known later."""
    known_on = snapshot + timedelta(days=1)
    keys = ["customer_id", "day", "known_on", of]
    after = rows.assign(day=snapshot, known_on=known_on, n=MANY)
    unheard = rows[pd.to_datetime(rows["day"]) < pd.Timestamp(snapshot)]
    unheard = unheard.assign(known_on=known_on, n=MANY)
    new = pd.concat([after, unheard]).drop_duplicates(keys)
    return _ordered(pd.concat([rows, new]), rows, keys).drop_duplicates(keys, ignore_index=True)


def first_days(rows: pd.DataFrame, daily: pd.DataFrame, *, snapshot: date) -> pd.DataFrame:
    """`rows` (`contracts.FIRST_DAYS`) with every day of `daily` that became known after `snapshot`."""
    unknown = pd.to_datetime(daily["first_known_on"]) > pd.Timestamp(snapshot)
    new = pd.concat([rows, daily.loc[unknown, [*rows.columns]]])
    return _ordered(new, rows, ["customer_id", "day"]).drop_duplicates(ignore_index=True)


def dates(rows: pd.DataFrame, *, snapshot: date) -> pd.DataFrame:
    """`rows` of the table of dates, each also with another value that arrives after the snapshot."""
    later = pd.Timestamp(snapshot) + pd.Timedelta(days=2)
    corrected = rows.assign(value=rows["value"] + MANY, loaded_at=later)
    return pd.concat([rows, corrected], ignore_index=True)


def _busy(rows: pd.DataFrame, *, day: date | pd.Series, known_on: date | pd.Series) -> pd.DataFrame:
    """`rows` on another day, with many events of every kind."""
    sums = {name: MANY for name in SUMS if name in rows}
    masks = {name: ALL_BITS for name in MASKS if name in rows}
    return rows.assign(day=day, first_known_on=known_on, last_known_on=known_on, **sums, **masks)


def _added(rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` with many events more on the same days."""
    sums = {name: rows[name] + MANY for name in SUMS if name in rows}
    masks = {name: rows[name] | ALL_BITS for name in MASKS if name in rows}
    return rows.assign(**sums, **masks)


def _late(rows: pd.DataFrame, *, known_on: date | pd.Series, last: date) -> pd.DataFrame:
    return rows.assign(known_on=known_on, last_known_on=last)


def _day_without(daily: pd.DataFrame, pattern: pd.DataFrame, snapshot: date) -> pd.Series:
    """A day shortly before the snapshot on which the customer did nothing, for those who have one."""
    first = snapshot - timedelta(days=3)
    taken = daily[pd.to_datetime(daily["day"]) == pd.Timestamp(first)]["customer_id"]
    free = pattern[~pattern["customer_id"].isin(set(taken))]
    return pd.Series(first, index=free.index, dtype=object)


def _ordered(rows: pd.DataFrame, like: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    """`rows` with the columns of `like`, dates as dates, in the table's order."""
    dated = {
        name: pd.to_datetime(rows[name]).dt.date
        for name in ("day", "known_on", "first_known_on", "last_known_on")
        if name in like
    }
    kept = rows.assign(**dated)[list(like.columns)]
    return kept.sort_values(order, ignore_index=True, kind="stable")
