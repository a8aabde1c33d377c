"""What comes of a model: reasons, the weekly job and its past weeks."""

from dataclasses import dataclass, field

from churn.settings.checks import between


@dataclass
class ExplainSettings:
    """`language` names a file of sentences in `conf/explain/sentences`."""

    language: str = "en"
    n_global: int = 2000

    def __post_init__(self) -> None:
        between("explain.n_global", self.n_global, 1, 1e9)


@dataclass
class ReplaySettings:
    """A model is refitted every `refit_weeks` weeks on what was known then."""

    refit_weeks: int = 4

    def __post_init__(self) -> None:
        between("replay.refit_weeks", self.refit_weeks, 1, 520)


@dataclass
class WeeklySettings:
    """`dry_run=true` prints the difference to the published list and publishes nothing."""

    dry_run: bool = False


@dataclass
class ConfigSettings:
    """`overrides` are the words that a command was given, or that `params.yaml` was written with;
    `keep=true` takes them again, so that `dvc repro` can compose anew and lose none."""

    keep: bool = False
    overrides: list[str] = field(default_factory=list)
