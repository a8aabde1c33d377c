"""What CS recorded: checked against the lists it speaks of, merged, and what it says of contacts."""

from datetime import date
from typing import Any

import pandas as pd

from churn.contracts import CONTACTS, FEEDBACK_COLUMNS, OUTCOMES
from churn.errors import InputError

KEY = ["as_of", "list_id", "customer_id"]

N_TOLD = 10
"""How many faults a refusal names."""


def accepted(rows: pd.DataFrame, lists: pd.DataFrame) -> pd.DataFrame:
    """`rows` that CS filled in, with `family` and `play` of the list each one belongs to.

    `rows`: customer_id, as_of (a date), list_id (or missing: the latest list of that date that the
    customer stands on), `FEEDBACK_COLUMNS`, and `file` and `line` for messages. `lists`: one row per
    list and customer, revisions of one `as_of` in order, with as_of, list_id, customer_id, family,
    play. Raises `InputError`, naming file, line and column, for a list that nobody was handed or a
    customer who does not stand on it; then nothing is taken.
    """
    latest = lists.drop_duplicates(["as_of", "customer_id"], keep="last")
    by_day = latest.set_index(["as_of", "customer_id"])["list_id"].to_dict()
    pairs = zip(rows["as_of"], rows["customer_id"], strict=True)
    meant = pd.Series([by_day.get(pair) for pair in pairs], index=rows.index, dtype=object)
    asked = rows.assign(list_id=rows["list_id"].where(rows["list_id"].notna(), meant))
    _require_known(asked, lists)
    one_each = lists.drop_duplicates(KEY, keep="last")
    return asked.merge(
        one_each[[*KEY, "family", "play"]], on=KEY, how="left", validate="many_to_one"
    )


def merged(known: pd.DataFrame, new: pd.DataFrame, *, recorded_as_of: date) -> pd.DataFrame:
    """`known` outcomes (contracts.OUTCOMES) with the accepted rows `new`, in the table's order.

    The last answer wins for each list and customer, and an empty cell never erases one. Importing the
    same rows again changes nothing. `recorded_as_of` is that of the import which gave `contacted` the
    answer that stands: a note that is added later does not make the contact one that was unknown.
    """
    answers = ["family", "play", *FEEDBACK_COLUMNS]
    stamped = new[[*KEY, *answers]].assign(recorded_as_of=recorded_as_of)
    both = pd.concat([known[list(stamped.columns)].astype(object), stamped.astype(object)])
    both = both.where(both.notna(), None)
    by_key = both.groupby(KEY, sort=False)
    kept = by_key[answers].last()  # the last that is not null
    before, after = by_key["contacted"].first(), by_key["contacted"].last()
    unmoved = [a is b or a == b for a, b in zip(before, after, strict=True)]
    first, last = by_key["recorded_as_of"].first(), by_key["recorded_as_of"].last()
    kept["recorded_as_of"] = first.where(pd.Series(unmoved, index=first.index), last)
    rows = kept.reset_index().astype(object)
    rows = rows.where(rows.notna(), None)
    return rows.sort_values(["as_of", "customer_id", "list_id"], ignore_index=True)[
        list(OUTCOMES.columns)
    ]


def as_contacts(outcomes: pd.DataFrame) -> pd.DataFrame:
    """The contacts that `outcomes` tell of, as rows of contracts.CONTACTS, by customer and date.

    CS records on which list a customer stood, not the hour of the call: `contacted_at` is 00:00 of
    the list's date, so that its own snapshot does not know the contact and the next one does.
    `recorded_at` lies just before the snapshot at which it was imported, which therefore knows it. They
    belong to no campaign: a person called.
    """
    said = outcomes[outcomes["contacted"].eq(True)].drop_duplicates(["customer_id", "as_of"])
    contacts = pd.DataFrame(
        {
            "customer_id": said["customer_id"].astype(object),
            "contacted_at": pd.to_datetime(said["as_of"]).astype("datetime64[us]"),
            "recorded_at": pd.to_datetime(said["recorded_as_of"]).astype("datetime64[us]")
            - pd.Timedelta(seconds=1),
            "channel": None,
            "result": said["outcome"].astype(object),
            "campaign": None,
            "propensity": float("nan"),
        }
    )
    ordered = contacts.sort_values(["customer_id", "contacted_at"], ignore_index=True)
    return ordered[list(CONTACTS.columns)]


def _require_known(rows: pd.DataFrame, lists: pd.DataFrame) -> None:
    """Every row must belong to a list that people were handed, and its customer stand on it."""
    days, ids = set(lists["as_of"]), set(lists["list_id"])
    there = set(zip(*(lists[name] for name in KEY), strict=True))
    faults: list[tuple[Any, str, str, str]] = []
    for row in rows.to_dict("records"):
        if tuple(row[name] for name in KEY) in there:
            continue
        if row["as_of"] not in days:
            known = ", ".join(str(day) for day in sorted(days)[-3:]) or "none yet"
            faults.append((row, "as_of", str(row["as_of"]), f"the date of a list: {known}"))
        elif row["list_id"] is not None and row["list_id"] not in ids:
            faults.append((row, "list_id", repr(row["list_id"]), "the id of a list of that date"))
        else:
            on_it = "a customer who stands on that list"
            faults.append((row, "customer_id", repr(row["customer_id"]), on_it))
    if faults:
        raise _refusal(faults)


def _refusal(faults: list[tuple[Any, str, str, str]]) -> InputError:
    row, column, got, expected = faults[0]
    more = [
        f"\n            line {other['line']}, column '{name}': {found}"
        for other, name, found, _ in faults[1:N_TOLD]
    ]
    if len(faults) > N_TOLD:
        more.append(f"\n            and {len(faults) - N_TOLD} more")
    return InputError(
        f"{row['file']} line {row['line']}, column '{column}' belongs to no list that was handed out",
        got=got + "".join(more),
        expected=expected,
        next_step="import it with the workspace that made the list, or correct the file; nothing of it "
        "was taken in",
    )
