"""What became of every row: read = used + duplicate + excluded + refused, delivery by delivery."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from churn.errors import InputError
from churn.io.index import Content, Index
from churn.io.listing import Delivery
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
