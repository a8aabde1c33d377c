"""A read-only view of a workspace for notebooks: every table as a pandas DataFrame."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from churn.errors import ConfigurationError
from churn.features.labels import Definition
from churn.io import bundle, records, tables
from churn.io.documents import story
from churn.io.lab import scorecard
from churn.io.workspace import Workspace
from churn.learning import backtest


@dataclass(frozen=True)
class Picture:
    """PNG bytes that a notebook shows by itself."""

    png: bytes

    def _repr_png_(self) -> bytes:
        return self.png


class Handle:
    """What a workspace holds; nothing is ever written through it.

    `as_of` is a date or its ISO text; without it a table comes whole, and the list is the latest.
    """

    def __init__(self, workspace: str | Path) -> None:
        self._place = Path(workspace)
        if not self._place.is_dir():
            raise ConfigurationError(
                "there is no such workspace",
                got=str(workspace),
                expected="a folder that `churn run` wrote",
                next_step="run `churn run workspace=DIR` first",
            )

    def __repr__(self) -> str:
        return f"Workspace({str(self._place)!r})"

    def daily(self) -> pd.DataFrame:
        """One row per customer and day (contracts.DAILY)."""
        return tables.read(self._place / "daily", made_by="rollup")

    def events(self, customer: str | None = None) -> pd.DataFrame:
        """Events per day and type, of everybody or of one: customer_id, day, event, n."""
        types = tables.facts(self._place / "daily", made_by="rollup")["event_types"]
        columns = {f"c_{place:02d}": event for place, event in enumerate(types[:62])}
        columns["n_other"] = "other"
        chosen = None if customer is None else [("customer_id", "=", customer)]
        found = []
        for path in tables.parts(self._place / "daily", made_by="rollup").values():
            part = pq.read_table(path, columns=["customer_id", "day", *columns], filters=chosen)
            wide = part.to_pandas().astype({"day": "datetime64[us]"})
            for column, event in columns.items():
                rows = wide.loc[wide[column] > 0, ["customer_id", "day"]]
                found.append(rows.assign(event=event, n=wide.loc[rows.index, column]))
        everything = pd.concat(found, ignore_index=True)
        return everything.sort_values(["customer_id", "day", "event"], ignore_index=True)

    def customers(self) -> pd.DataFrame:
        return tables.read(self._place / "customers", made_by="rollup")

    def subscriptions(self) -> pd.DataFrame:
        return tables.read(self._place / "subscriptions", made_by="rollup")

    def panel(self) -> pd.DataFrame:
        """One row per snapshot and customer: features, label, label_mature."""
        return tables.read(self._place / "panel", made_by="features")

    def features(self) -> pd.DataFrame:
        """The definitions behind the columns of the panel: name, sentence, unit, family."""
        return pd.DataFrame(tables.facts(self._place / "panel", made_by="features")["features"])

    def definition(self) -> str:
        """What churn means in the panel, as a sentence."""
        facts = tables.facts(self._place / "panel", made_by="features")
        return f"A customer churns who {Definition(**facts['churn']).in_words()}."

    def churn_rates(self) -> pd.DataFrame:
        """One row per snapshot with known outcome: n_customers, n_churned, share_churned."""
        by_snapshot = backtest.mature(self.panel()).groupby("snapshot")["label"]
        counts = {"n_customers": by_snapshot.count(), "n_churned": by_snapshot.sum().astype(int)}
        found = pd.DataFrame({**counts, "share_churned": by_snapshot.mean()})
        return found.set_axis(pd.DatetimeIndex(found.index, name="snapshot"))

    def scores(self, as_of: str | date | None = None) -> pd.DataFrame:
        return self._dated("scores", "score", as_of)

    def reasons(self, as_of: str | date | None = None, customer: str | None = None) -> pd.DataFrame:
        """The reasons of everybody who was listed, or of one customer."""
        rows = self._dated("reasons", "explain", as_of)
        return rows if customer is None else rows[rows["customer_id"] == customer]

    def retention_list(self, as_of: str | date | None = None) -> pd.DataFrame:
        """The list of `as_of`, by default the latest."""
        return self._dated("retention", "retain", as_of or self._last_list())

    def weeks(self, customer: str) -> pd.DataFrame:
        """What one customer did: weeks before the latest list × event types, counts."""
        return story.weeks(self.events(customer), as_of=date.fromisoformat(self._last_list()))

    def timeline(self, customer: str) -> Picture:
        """What one customer did week by week, with the dates of their contract, as a picture."""
        as_of = date.fromisoformat(self._last_list())
        name = Workspace(self._place).people(as_of)["customer_name"].get(customer)
        title = customer if name is None or pd.isna(name) else f"{name} ({customer})"
        dates = self._dates(customer, as_of)
        counts = story.weeks(self.events(customer), as_of=as_of)
        return Picture(story.timeline(counts, title=title, dates=dates, as_of=as_of))

    def figures(self) -> pd.DataFrame:
        """The latest training: the model and each baseline × figures (learning.titles.UNITS)."""
        return scorecard.read(self._place)

    def gain(self) -> pd.DataFrame:
        """The latest training: share contacted, and the share of the churned each one caught."""
        return pd.read_csv(self._place / scorecard.GAIN, index_col="contacted")

    def calibration(self) -> pd.DataFrame:
        """The latest training: predicted and observed churn in groups of equal size by risk."""
        return pd.read_csv(self._place / scorecard.CALIBRATION)

    def champion(self) -> dict[str, Any]:
        """The record of the champion: what it learnt from and its test figures by model."""
        return bundle.described(self._place).spec

    def outcomes(self) -> pd.DataFrame:
        """What CS recorded (contracts.OUTCOMES); empty until there is something."""
        return records.outcomes(self._place)

    def _dates(self, customer: str, as_of: date) -> dict[str, date]:
        """The dates a story needs: start and end of the term, the last contact."""
        workspace = Workspace(self._place)
        terms, found = (
            workspace.contract_terms(as_of),
            records.last_contacts(records.contacts(workspace, as_of)),
        )
        term: Any = terms.loc[customer] if customer in terms.index else {}
        named = {
            "customer since": term.get("start_date"),
            "last contact": found.get(customer),
            "term ends": term.get("term_end"),
        }
        return {name: day for name, day in named.items() if not pd.isna(day)}

    def _last_list(self) -> str:
        return list(tables.parts(self._place / "retention", made_by="retain"))[-1]

    def _dated(self, name: str, made_by: str, as_of: str | date | None) -> pd.DataFrame:
        part = None if as_of is None else str(as_of)
        return tables.read(self._place / name, made_by=made_by, part=part)
