"""Typed settings for every Hydra key, built into the rooms' own value objects.

`inputs` what goes in, `lab` training and experiments, `weekly` what comes of a model, `deliver` who
gets it; a policy of the list is `retention.policy.Policy` itself, what is plausible
`quality.Bands`. `checks` refuses values.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml

from churn.conf_tree import CONF
from churn.errors import ConfigurationError, InputError, between
from churn.features.candidates import Candidates
from churn.features.labels import Definition
from churn.retention.language import Language, language
from churn.retention.policy import Policy
from churn.settings.checks import one_of, plain_name
from churn.settings.data_only import require_content
from churn.settings.deliver import DeliverSettings
from churn.settings.inputs import (
    EngineSettings,
    FeatureSettings,
    RollupSettings,
    SinkSettings,
    SourceSettings,
)
from churn.settings.lab import (
    BacktestSettings,
    CompareSettings,
    DefineSettings,
    LightGBMSettings,
    PromoteSettings,
    TrainSettings,
    TuneSettings,
)
from churn.settings.proof import ImpactSettings, OutcomesSettings
from churn.settings.weekly import ConfigSettings, ExplainSettings, ReplaySettings, WeeklySettings
from churn.timeline import Arrival, parse_date, parse_moment
from churn.usage.quality import Bands

__all__ = [
    "BacktestSettings",
    "CompareSettings",
    "ConfigSettings",
    "DefineSettings",
    "DeliverSettings",
    "EngineSettings",
    "ExplainSettings",
    "FeatureSettings",
    "ImpactSettings",
    "LightGBMSettings",
    "OutcomesSettings",
    "PromoteSettings",
    "ReplaySettings",
    "RollupSettings",
    "Settings",
    "SinkSettings",
    "SourceSettings",
    "TrainSettings",
    "TuneSettings",
    "WeeklySettings",
    "feature_documents",
    "from_params",
    "register",
    "spoken",
    "to_settings",
]


@dataclass
class Settings:
    """Everything a command can be told. `as_of`, `known_at`: see the contract's words.

    `log` is how lines are written: plain text, or json (see `io.journal`).
    `name` is what a train or backtest is called in MLflow and by `churn compare`.
    """

    workspace: str = "data"
    name: str | None = None
    as_of: str | None = None
    known_at: str | None = None
    from_date: str | None = None
    to_date: str | None = None
    customer: str | None = None
    user: str | None = None
    seed: int = 7
    debug: bool = False
    log: str = "plain"
    params: str | None = None
    engine: EngineSettings = field(default_factory=EngineSettings)
    source: SourceSettings = field(default_factory=SourceSettings)
    churn: Definition = field(default_factory=Definition)
    rollup: RollupSettings = field(default_factory=RollupSettings)
    features: FeatureSettings = field(default_factory=FeatureSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    backtest: BacktestSettings = field(default_factory=BacktestSettings)
    tune: TuneSettings = field(default_factory=TuneSettings)
    compare: CompareSettings = field(default_factory=CompareSettings)
    promote: PromoteSettings = field(default_factory=PromoteSettings)
    define: DefineSettings = field(default_factory=DefineSettings)
    explain: ExplainSettings = field(default_factory=ExplainSettings)
    retain: Policy = field(default_factory=Policy)
    config: ConfigSettings = field(default_factory=ConfigSettings)
    weekly: WeeklySettings = field(default_factory=WeeklySettings)
    sink: SinkSettings = field(default_factory=SinkSettings)
    deliver: DeliverSettings = field(default_factory=DeliverSettings)
    quality: Bands = field(default_factory=Bands)
    replay: ReplaySettings = field(default_factory=ReplaySettings)
    outcomes: OutcomesSettings = field(default_factory=OutcomesSettings)
    impact: ImpactSettings = field(default_factory=ImpactSettings)

    def __post_init__(self) -> None:
        if not self.workspace.strip():
            raise ConfigurationError(
                "workspace= is empty",
                got="nothing, which would mean the folder that the command runs in",
                expected="the folder that everything is written to",
                next_step="give workspace=FOLDER, or leave it out for the default",
            )
        self.as_of_date(), self.known_at_moment()
        for key, text in (("from", self.from_date), ("to", self.to_date)):
            parse_date(text, key=key) if text else None
        if self.name is not None:
            plain_name("name", self.name)
        one_of("log", self.log, ["plain", "json"])
        between("seed", self.seed, 0, 2**31 - 1)
        one_of("churn.name", self.churn.name, ["inactivity", "cancellation"])
        between("churn.active_days", self.churn.active_days, 1, 3650)
        if self.churn.name == "inactivity":
            reach = "churn.active_days, within features.lookback_days,"
            between(reach, self.churn.active_days, 1, self.features.lookback_days)
        if self.churn.name == "inactivity" and self.churn.active_days > self.features.lookback_days:
            raise ConfigurationError(
                "churn.active_days reaches further back than the features",
                got=f"{self.churn.active_days} days against {self.features.lookback_days}",
                expected="churn.active_days of at most features.lookback_days",
                next_step=f"set features.lookback_days={self.churn.active_days}",
            )
        between("churn.horizon_days", self.churn.horizon_days, 1, 3650)
        between("churn.gap_days", self.churn.gap_days, 0, 3650)

    @property
    def place(self) -> Path:
        """The workspace: where everything is written."""
        return Path(self.workspace).absolute()

    def arrival(self, as_of: date | None) -> Arrival:
        """When a row counts as known, with `known_at` in force at `as_of`."""
        return Arrival(self.source.arrival_hours, as_of, self.known_at_moment())

    def candidates(self) -> Candidates:
        """The room's own value object from the settings."""
        asked = self.define
        return Candidates(
            sorted(set(asked.active_days)),
            sorted(set(asked.horizon_days)),
            self.churn.gap_days,
            asked.return_days,
            asked.max_returning,
        )

    def min_history_days(self) -> int:
        """How many days of log a snapshot needs before it can teach anything."""
        return self.churn.active_days if self.churn.name == "inactivity" else 28

    def as_of_or_last(self, usage: Mapping[str, Any]) -> date:
        """`as_of`, by default the date of the log's last event, that day itself excluded."""
        if self.known_at != usage.get("known_at"):
            raise ConfigurationError(
                "the roll-up was made with another known_at",
                got=str(usage.get("known_at")),
                expected=str(self.known_at),
                next_step="run `churn rollup` with the same words first",
            )
        first, last = date.fromisoformat(usage["first_day"]), date.fromisoformat(usage["last_day"])
        as_of = self.as_of_date() or last
        if as_of <= first:
            raise InputError(
                f"as_of={as_of} is before the log has anything to say",
                got=f"a log from {first} to {last}",
                expected=f"an as_of after {first}",
                next_step=f"leave as_of out (then it is {last}) or choose one in that span",
            )
        return as_of

    def static(self, attributes: Mapping[str, str], *, has_versions: bool) -> dict[str, str]:
        """The customer attributes that become features, with their kind.

        `attributes` are those of the customers table with their kind. With versions by `valid_from`
        all of them can be known as of a date; without, only those named in `source.static`.
        """
        for name in self.source.static:
            one_of("source.static", name, list(attributes))
        chosen = list(attributes) if has_versions else self.source.static
        return {name: attributes[name] for name in chosen}

    def panel_question(self) -> dict[str, Any]:
        """The settings that a panel answers; training with others needs another panel."""
        return {
            "churn": vars(self.churn),
            "features": asdict(self.features),
            "train.snapshots": self.train.snapshots,
            "train.step_days": self.train.step_days,
            "source.static": self.source.static,
        }

    def as_of_date(self) -> date | None:
        return parse_date(self.as_of, key="as_of") if self.as_of else None

    def known_at_moment(self) -> datetime | None:
        return parse_moment(self.known_at, key="known_at") if self.known_at else None


def feature_documents(settings: Settings) -> dict[str, str]:
    """The YAML of every feature definition by file name: the families, then `features.more`."""
    families = sorted((CONF / "features" / "families").glob("*.yaml"))
    own = {name: _own_features(name) for name in settings.features.more}
    return {path.name: path.read_text() for path in families} | {
        name: path.read_text() for name, path in own.items()
    }


def _own_features(name: str) -> Path:
    """The file that `features.more` names: from where the command runs, else in conf/features."""
    places = [Path(name), CONF / "features" / name]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise ConfigurationError(
            "features.more names a file that is not there",
            got=name,
            expected=f"a YAML file with feature definitions: {' or '.join(map(str, places))}",
            next_step="write its path as seen from where you run the command, or from conf/features",
        )
    return found


def spoken(settings: Settings) -> Language:
    """The sentences of `explain.language`."""
    folder = CONF / "explain" / "sentences"
    one_of(
        "explain.language", settings.explain.language, [path.stem for path in folder.glob("*.yaml")]
    )
    path = folder / f"{settings.explain.language}.yaml"
    return language(yaml.safe_load(path.read_text()), file=path.name)


def register() -> None:
    """Make the schema known to Hydra: it stands first in the defaults of `conf/config.yaml`."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="schema", node=Settings)


PARAMS = "params.yaml"
"""What `churn config` writes and DVC's stages read."""


def from_params(path: Path) -> Settings:
    """The settings that `churn config` wrote to `path`."""
    from omegaconf import OmegaConf

    content = yaml.safe_load(path.read_text())
    if not isinstance(content, dict):
        raise ConfigurationError(
            "params= names a file without a configuration",
            got=str(path),
            expected="keys and values, as `churn config` writes them",
            next_step="run `churn config` again",
        )
    require_content(content, where=str(path))
    said = content.get("config", {}).get("overrides", [])
    return to_settings(OmegaConf.create({**content, "config": {"overrides": said}}))


def to_settings(composed: Any) -> Settings:
    """A composed configuration as settings; unknown keys and wrong types are refused here."""
    from omegaconf import OmegaConf

    settings = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Settings), composed))
    assert isinstance(settings, Settings)
    return settings
