"""A read-only view of a workspace for notebooks: every table as a pandas DataFrame."""

from datetime import date
from pathlib import Path

import pandas as pd

from churn.errors import ConfigurationError
from churn.io import tables


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

    def events(self) -> pd.DataFrame:
        """Events per day and type: customer_id, day, event, n (the roll-up, as rows)."""
        types = tables.facts(self._place / "daily", made_by="rollup")["event_types"]
        wide = self.daily()
        names = {f"c_{place:02d}": event for place, event in enumerate(types[:62])} | {"n_other": "other"}
        rows = wide.melt(["customer_id", "day"], list(names), var_name="event", value_name="n")
        rows["event"] = rows["event"].map(names)
        return rows[rows["n"] > 0].sort_values(["customer_id", "day", "event"], ignore_index=True)

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

    def scores(self, as_of: str | date | None = None) -> pd.DataFrame:
        return self._dated("scores", "score", as_of)

    def reasons(self, as_of: str | date | None = None) -> pd.DataFrame:
        return self._dated("reasons", "explain", as_of)

    def retention_list(self, as_of: str | date | None = None) -> pd.DataFrame:
        """The list of `as_of`, by default the latest."""
        latest = list(tables.parts(self._place / "retention", made_by="retain"))[-1]
        return self._dated("retention", "retain", as_of or latest)

    def champion(self) -> dict[str, object]:
        """The record of the champion: what it learnt from and its test figures by model."""
        from churn.io import bundle

        return bundle.load(self._place, "champion").spec

    def outcomes(self) -> pd.DataFrame:
        """What CS recorded; empty until there is something."""
        folder = self._place / "outcomes"
        if tables.exists(folder):
            return tables.read(folder, made_by="outcomes")
        return pd.DataFrame(columns=["customer_id", "as_of", "contacted", "outcome", "verdict", "note"])

    def _dated(self, name: str, made_by: str, as_of: str | date | None) -> pd.DataFrame:
        part = None if as_of is None else str(as_of)
        return tables.read(self._place / name, made_by=made_by, part=part)
