"""What became of every row: read = used + duplicate + excluded + refused, delivery by delivery."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.compute as compute

from churn.contracts import REQUIRED
from churn.errors import InputError
from churn.io.intake.index import Content, Index
from churn.io.intake.listing import Delivery
from churn.usage import advice, duplicates

REJECTS = ("file", "line", "column", "value", "reason")
"""The columns of a frame of refused rows; lines count from 1 (rows, in Parquet)."""


@dataclass(frozen=True)
class Account:
    """What became of the rows of one delivery: read = used + duplicate + excluded + refused.

    A delivery whose content was listed before under another name reads nothing.
    """

    path: str
    sha256: str
    read: int
    used: int
    duplicate: int
    excluded: int
    refused: int


@dataclass(frozen=True)
class SideAccount:
    """What became of the rows of a side table: read = used + excluded, for one that has a bad value is
    refused whole. `excluded` say nothing: a subscription that never begins, or ends before it does, a
    contact without a time, a series without a value. `unknown_customers` are rows, used all the
    same, of customers who are not in the customers table."""

    read: int
    used: int
    excluded: int
    unknown_customers: int


def of_sides(sides: Mapping[str, pa.Table]) -> dict[str, SideAccount]:
    """The account of each side table, by name."""
    known = sides["customers"]["customer_id"] if "customers" in sides else None
    return {name: _of_side(name, table, known) for name, table in sides.items()}


def _of_side(name: str, table: pa.Table, known: pa.ChunkedArray | None) -> SideAccount:
    empty = pa.array([False] * table.num_rows, pa.bool_())
    for required in REQUIRED[name]:
        empty = compute.or_(empty, table[required].is_null())
    if name == "subscriptions":
        ends = compute.less_equal(table["end_date"], table["start_date"])
        empty = compute.or_(empty, compute.fill_null(ends, False))
    n_empty, n_unknown = compute.sum(empty).as_py() or 0, 0
    if known is not None and name != "customers" and "customer_id" in table.column_names:
        is_known = compute.is_in(table["customer_id"], known.combine_chunks())
        n_unknown = table.num_rows - (compute.sum(is_known).as_py() or 0)
    return SideAccount(table.num_rows, table.num_rows - n_empty, n_empty, n_unknown)


def rejects_of(contents: Sequence[Content], index: Index) -> pd.DataFrame:
    """All refused rows of `contents`: `REJECTS`, in the order of files and lines."""
    frames = [
        index.rejects(content.sha256).assign(file=content.path)
        for content in contents
        if content.entry.refused
    ]
    if not frames:
        kinds = {name: "int64" if name == "line" else "str" for name in REJECTS}
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})
    return pd.concat(frames, ignore_index=True)[list(REJECTS)]


def with_conflicts(rejects: pd.DataFrame, losers: pd.DataFrame) -> pd.DataFrame:
    conflicts = losers[~losers["is_duplicate"].astype(bool)]
    if conflicts.empty:
        return rejects
    more = pd.DataFrame(
        {
            "file": conflicts["path"],
            "line": conflicts["line"],
            "column": "event_id",
            "value": conflicts["event_id"],
            "reason": duplicates.CONFLICT,
        }
    )
    every = pd.concat([rejects, more]) if len(rejects) else more
    return every.sort_values(["file", "line"], kind="stable", ignore_index=True)


def accounts_of(
    found: Sequence[Delivery], contents: Sequence[Content], losers: pd.DataFrame | None
) -> tuple[Account, ...]:
    """One account per delivery; a second name of the same content reads nothing."""
    lost = (
        Counter()
        if losers is None
        else Counter(zip(losers["path"], losers["is_duplicate"], strict=True))
    )
    by_path = {content.path: content for content in contents}
    accounts = []
    for delivery in found:
        content = by_path.get(delivery.path)
        if content is None:
            accounts.append(Account(delivery.path, delivery.sha256, 0, 0, 0, 0, 0))
            continue
        entry, duplicate = content.entry, lost[delivery.path, True]
        refused = entry.refused + lost[delivery.path, False]
        used = entry.read - entry.excluded - duplicate - refused
        accounts.append(
            Account(
                delivery.path, delivery.sha256, entry.read, used, duplicate, entry.excluded, refused
            )
        )
    return tuple(accounts)


def refuse_too_many(accounts: Sequence[Account], rejects: pd.DataFrame, *, share: float) -> None:
    """Raise `InputError` for the first delivery with more than `share` of its rows refused."""
    for account in accounts:
        if account.refused <= share * account.read:
            continue
        of_file = rejects[rejects["file"] == account.path]
        first = of_file.sort_values("line", kind="stable").iloc[0]
        rest = f" and {account.refused - 1} more" if account.refused > 1 else ""
        raise InputError(
            f"{account.path} line {first['line']} column {first['column']}: {first['reason']}",
            got=f"{advice.shown(first['value'])}{rest}: "
            f"{account.refused} of {account.read} rows refused",
            expected=f"at most {share:.3%} of a file (rollup.max_rejected_share={share:g})",
            next_step=advice.likely_cause(first["column"], first["value"], first["reason"]),
        )
