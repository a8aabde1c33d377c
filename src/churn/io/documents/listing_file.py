"""What a list's documents were made from beside its rows, so that they can be made again.

A page cannot be told to forget somebody: a name stands in its table, in the data of its script, in
the sections beside the list and in sums. It is made again, from `listing.json` without the customer.
"""

import json
from dataclasses import asdict, replace
from datetime import date
from typing import Any

import pandas as pd

from churn.io.documents.handout import Aside, Detail, Listing, Mark, Past

SECTIONS = ("leaving", "unjudged", "gone")


def to_bytes(listing: Listing) -> bytes:
    """Everything of `listing` but its rows, which stand in a table of their own."""
    content = asdict(replace(listing, rows=pd.DataFrame())) | {"as_of": listing.as_of.isoformat()}
    del content["rows"]
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=_plain)
    return f"{text}\n".encode(errors="surrogatepass")


def read(content: bytes, rows: pd.DataFrame) -> Listing:
    """The listing of `rows` that `to_bytes` wrote; the same documents come of it."""
    told = json.loads(content.decode(errors="surrogatepass"))
    told |= {name: [Aside(**one) for one in told[name]] for name in SECTIONS}
    told["details"] = {customer: _detail(one) for customer, one in told["details"].items()}
    told["track"] = [Past(**one) for one in told["track"]]
    told["as_of"] = date.fromisoformat(told["as_of"])
    return Listing(rows=rows, **told)


def names_of(listing: Listing, customer: str) -> set[str]:
    """What a customer is called in the list and beside it."""
    mine = listing.rows[listing.rows["customer_id"] == customer]
    asides = [one for name in SECTIONS for one in getattr(listing, name)]
    names = [one.customer_name for one in asides if one.customer_id == customer]
    return {str(name) for name in [*mine["customer_name"], *names] if name and name == name}


def has(listing: Listing, customer: str) -> bool:
    """Whether a customer stands in the list, or beside it."""
    asides = [one.customer_id for name in SECTIONS for one in getattr(listing, name)]
    is_listed = bool((listing.rows["customer_id"] == customer).any())
    return is_listed or customer in listing.details or customer in asides


def without(listing: Listing, customer: str) -> Listing:
    """The same list as if nobody had known the customer: ranks stay as they were."""
    rows = listing.rows[listing.rows["customer_id"] != customer]
    sections: dict[str, Any] = {
        name: [one for one in getattr(listing, name) if one.customer_id != customer]
        for name in SECTIONS
    }
    details = {key: one for key, one in listing.details.items() if key != customer}
    return replace(listing, rows=rows.reset_index(drop=True), details=details, **sections)


def _detail(told: dict[str, Any]) -> Detail:
    band = told["band"]
    return Detail(
        **told
        | {
            "band": None if band is None else (band[0], band[1]),
            "marks": [Mark(**mark) for mark in told["marks"]],
            "scores": [(day, risk) for day, risk in told["scores"]],
        }
    )


def _plain(value: Any) -> Any:
    """Numbers of numpy as Python's."""
    return value.item()
