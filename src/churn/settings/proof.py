"""What CS recorded, and what is made of it."""

from dataclasses import dataclass

from churn.errors import between
from churn.settings.checks import variable


@dataclass
class OutcomesSettings:
    """What `churn outcomes` imports: `files`, a glob of filled-in workbooks or CSV files, or `table`
    ([SCHEMA.]TABLE) of the database whose URL stands in the environment variable `url_variable`."""

    files: str = ""
    table: str = ""
    url_variable: str = "CHURN_SQL_URL"

    def __post_init__(self) -> None:
        variable("outcomes.url_variable", self.url_variable)


@dataclass
class ImpactSettings:
    """A contact is judged by who leaves in the `effect_days` after the first list; `target_points` is
    the effect, in points of churn, that the report says the date of. With `uplift` a model of the
    effect is judged as well (`retain.policy=risk_value_effect`)."""

    effect_days: int = 56
    target_points: float = 5.0
    uplift: bool = True

    def __post_init__(self) -> None:
        between("impact.effect_days", self.effect_days, 7, 365)
        between("impact.target_points", self.target_points, 0.1, 100)
