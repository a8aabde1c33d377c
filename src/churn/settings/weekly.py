"""What comes of a model: reasons, the weekly job and its past weeks."""

from dataclasses import dataclass, field

from churn.errors import between


@dataclass
class ExplainSettings:
    """`language` names a file of sentences in `conf/explain/sentences`.

    A family is shown if customers for whom it spoke left at least `min_lift` times as often as
    average in the backtest, and unless people found it right in surely less than a share `min_right`
    of their verdicts. Last week's first reason stays first unless another is more than `stays` (a
    share) stronger. `everybody=true` explains all who were scored.
    With `what_if=true` and customer=ID: the smallest change of `actionable` families that would take
    the customer off the list.
    """

    language: str = "en"
    n_global: int = 2000
    min_lift: float = 1.5
    min_right: float = 0.5
    stays: float = 0.25
    everybody: bool = False
    what_if: bool = False
    actionable: list[str] = field(
        default_factory=lambda: ["usage", "breadth", "people", "trouble", "money"]
    )

    def __post_init__(self) -> None:
        between("explain.n_global", self.n_global, 1, 1e9)
        between("explain.min_lift", self.min_lift, 1, 100)
        between("explain.min_right", self.min_right, 0, 1)
        between("explain.stays", self.stays, 0, 10)
        between("the number of explain.actionable", len(self.actionable), 0, 10)


@dataclass
class ReplaySettings:
    """A model is refitted every `refit_weeks` weeks on what was known then."""

    refit_weeks: int = 4

    def __post_init__(self) -> None:
        between("replay.refit_weeks", self.refit_weeks, 1, 520)


LEAST_WEEKS = 53
"""This week's list and the 52 before it, which say who comes back (`revisions.REMEMBERED`)."""


@dataclass
class WeeklySettings:
    """`dry_run=true` prints the difference to the published list and publishes nothing. `accept`
    names gates that a person has looked at and overrules, for this run. Of published weeks all are
    kept, or the last `keep_weeks` and every list that was answered; of the logs of runs the last
    `keep_logs`. `metrics` is where the gauges for Prometheus go (null: published/metrics.prom)."""

    dry_run: bool = False
    accept: list[str] = field(default_factory=list)
    keep_weeks: int = 0
    keep_logs: int = 100
    metrics: str | None = None

    def __post_init__(self) -> None:
        if self.keep_weeks:
            between("weekly.keep_weeks (0: all)", self.keep_weeks, LEAST_WEEKS, 5200)
        between("weekly.keep_logs", self.keep_logs, 0, 100_000)


@dataclass
class ConfigSettings:
    """`overrides` are the words that a command was given, or that `params.yaml` was written with;
    `keep=true` takes them again, so that `dvc repro` can compose anew and lose none."""

    keep: bool = False
    overrides: list[str] = field(default_factory=list)
