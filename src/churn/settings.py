"""Typed settings for every Hydra key, built into the rooms' own value objects."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml

from churn.conf_tree import CONF
from churn.contracts import SOURCES
from churn.errors import ConfigurationError, InputError, nearest
from churn.features.candidates import Candidates
from churn.features.labels import Definition
from churn.retention.ranking import Policy
from churn.retention.reasons import Language, language
from churn.simulate import World
from churn.timeline import Arrival, parse_date, parse_moment


@dataclass
class EngineSettings:
    """Where queries run: `threads` 0 = all there are; `memory_limit` in DuckDB's notation, for the
    whole process with what Python takes of it.

    `master`, `shuffle_partitions` and `patience_s` (how long a cluster may be without workers) are
    Spark's; `memory_limit` is then what a local master or each executor gets, and `threads` stand in
    the master: `local[2]`.
    """

    name: str = "duckdb"
    threads: int = 0
    memory_limit: str = "4GB"
    spill: str = ""
    master: str = "local[2]"
    shuffle_partitions: int = 8
    patience_s: int = 300

    def __post_init__(self) -> None:
        _one_of("engine.name", self.name, ["duckdb", "spark"])
        _between("engine.patience_s", self.patience_s, 1, 86_400)
        if not re.fullmatch(r"local(-cluster)?(\[[^\]]+\])?|(spark|k8s)://\S+|yarn", self.master):
            raise ConfigurationError(
                "engine.master is not a master of Spark",
                got=self.master,
                expected="local[2], spark://host:port, yarn or k8s://host:port",
                next_step="set engine.master in one of these forms",
            )
        _between("engine.shuffle_partitions", self.shuffle_partitions, 1, 100_000)
        _between("engine.threads", self.threads, 0, 1024)
        if not re.fullmatch(r"\d+(\.\d+)? ?([KMGT]i?)?B", self.memory_limit):
            raise ConfigurationError(
                "engine.memory_limit is not an amount of memory",
                got=self.memory_limit,
                expected="a number and a unit, such as 4GB or 900MB",
                next_step="set engine.memory_limit in that form",
            )


@dataclass
class SourceSettings:
    """Where the logs are and how to read them. Types are declared, never sniffed.

    `events`, `customers`, `subscriptions`, `contacts`, `dates` are globs or URLs. `columns` maps our names
    to those of the log, `side_columns` the same for the side tables. `ts_format` is `iso`,
    `epoch_s`, `epoch_ms` or a strptime format. `exclude` maps a column of the log to globs of
    values (bots, internal users).

    With `name` sql they are tables, views or SELECTs of the database whose SQLAlchemy URL stands
    in the environment variable `url_variable` (nowhere else: it holds a password). Events after the
    greatest `watermark` (a column) taken in are read, and the last `reread_rows` again, since rows
    can be committed late; `batch_rows` are in memory at a time.

    With `name` spark they are what Spark reads on `engine.master`: tables, files or SELECTs.
    """

    name: str = "files"
    events: str | None = None
    customers: str | None = None
    subscriptions: str | None = None
    contacts: str | None = None
    dates: str | None = None
    format: str = "auto"
    columns: dict[str, str] = field(default_factory=dict)
    side_columns: dict[str, dict[str, str]] = field(default_factory=dict)
    timezone: str | None = None
    ts_format: str = "iso"
    date_format: str = "iso"
    delimiter: str = ","
    integer_ids: bool = False
    arrival_hours: int = 6
    static: list[str] = field(default_factory=list)
    exclude: dict[str, list[str]] = field(default_factory=dict)
    unknown_customers: str = "refuse"
    url_variable: str = "CHURN_SQL_URL"
    watermark: str | None = None
    reread_rows: int = 10_000
    batch_rows: int = 50_000
    world: World = field(default_factory=World)

    def __post_init__(self) -> None:
        _variable("source.url_variable", self.url_variable)
        _between("source.reread_rows", self.reread_rows, 0, 10_000_000)
        _between("source.batch_rows", self.batch_rows, 1, 10_000_000)
        _one_of("source.name", self.name, ["demo", "files", "complete_journey", "sql", "spark"])
        _one_of("source.format", self.format, FORMATS)
        _one_of("source.unknown_customers", self.unknown_customers, ["refuse", "keep"])
        for name in self.columns:
            _one_of("a key of source.columns", name, list(SOURCES["events"].columns))
        for table, columns in self.side_columns.items():
            _one_of("a key of source.side_columns", table, list(SOURCES))
            for name in columns:
                _one_of(f"a key of source.side_columns.{table}", name, list(SOURCES[table].columns))
        for name in self.exclude:
            _one_of("a key of source.exclude", name, ["customer_id", "user_id", "event"])
        _between("source.arrival_hours", self.arrival_hours, 0, 24 * 60)


FORMATS = ["auto", "parquet", "csv", "jsonl", "access_log", "error_log"]


@dataclass
class SinkSettings:
    """Where results go beside the workspace: `none`, or `sql` for tables of a database.

    `url_variable` is the environment variable with its SQLAlchemy URL; `panel`, `scores` and
    `retention` name the tables (null: not written), in `schema` or where the user's path leads.
    """

    name: str = "none"
    url_variable: str = "CHURN_SQL_URL"
    schema: str | None = None
    panel: str | None = "churn_panel"
    scores: str | None = "churn_scores"
    retention: str | None = "churn_retention_list"

    def __post_init__(self) -> None:
        _one_of("sink.name", self.name, ["none", "sql"])
        _variable("sink.url_variable", self.url_variable)


@dataclass
class RollupSettings:
    """`max_rejected_share`: more refused rows than this in one file refuse the file.

    `texts` is a regular expression over event names: whose `text` is a message of the customer.
    """

    max_rejected_share: float = 0.001
    texts: str = "ticket|support|complain|review|feedback|survey"

    def __post_init__(self) -> None:
        _between("rollup.max_rejected_share", self.max_rejected_share, 0, 1)


@dataclass
class FeatureSettings:
    """Windows, event types and families; `more` are files with definitions of your own.

    `roles` maps a role (error, support, payment) to regular expressions over event names, so that
    the families about errors and money find their events in any log.
    """

    lookback_days: int = 365
    windows: list[int] = field(default_factory=lambda: [7, 14, 28, 56, 84, 182])
    n_event_types: int = 20
    n_topics: int = 16
    n_tastes: int = 8
    roles: dict[str, str] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)
    more: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        _between("features.lookback_days", self.lookback_days, 14, 3650)
        _between("features.n_event_types", self.n_event_types, 0, 62)
        _between("features.n_topics", self.n_topics, 0, 100)
        _between("features.n_tastes", self.n_tastes, 0, 100)
        for days in self.windows:
            _between(
                "features.windows, within features.lookback_days,", days, 1, self.lookback_days
            )


@dataclass
class LightGBMSettings:
    """Regularised LightGBM; the defaults are what the simulator and three real logs found safe."""

    n_rounds: int = 400
    learning_rate: float = 0.05
    num_leaves: int = 7
    min_data_in_leaf: int = 150
    feature_fraction: float = 0.1
    bagging_fraction: float = 0.8
    bagging_freq: int = 1
    lambda_l2: float = 10.0
    max_bin: int = 127


MODELS = ["blend", "lightgbm", "logistic"]


@dataclass
class TrainSettings:
    """`model` is blend, lightgbm or logistic; figures are quoted at a list of `list_share`.

    `half_life_days` (0: none) and `monotone`: see `models.Recipe`.
    """

    model: str = "blend"
    snapshots: int = 16
    step_days: int = 14
    n_test_snapshots: int = 2
    n_folds: int = 3
    n_calibration_snapshots: int = 12
    list_share: float = 0.02
    logistic_c: float = 0.02
    half_life_days: float = 0.0
    monotone: dict[str, int] = field(default_factory=dict)
    lightgbm: LightGBMSettings = field(default_factory=LightGBMSettings)
    ablation: bool = False
    experiment: str = "churn"
    tracking_uri: str = ""

    def __post_init__(self) -> None:
        _one_of("train.model", self.model, MODELS)
        _between("train.snapshots", self.snapshots, 1, 200)
        _between("train.step_days", self.step_days, 1, 365)
        _between("train.n_test_snapshots", self.n_test_snapshots, 1, 100)
        _between("train.n_calibration_snapshots", self.n_calibration_snapshots, 1, 200)
        _between("train.n_folds", self.n_folds, 2, 20)
        _between("train.list_share", self.list_share, 1e-6, 1)
        _between("train.half_life_days", self.half_life_days, 0, 36_500)
        for name, sign in self.monotone.items():
            _one_of(f"train.monotone.{name}", str(sign), ["1", "-1"])
        if re.search("://[^/]*:[^/]*@", self.tracking_uri):
            raise ConfigurationError(
                "train.tracking_uri must hold no password: whoever reads runs would read it too",
                got="an address with a password in it",
                expected="an address without one",
                next_step="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD for a tracking "
                "server, PGPASSWORD for PostgreSQL",
            )


@dataclass
class PromoteSettings:
    """`back=true` returns to the previous champion; `allowed` are features that a person has looked
    at, which may carry more than 60 % of what moves the scores."""

    back: bool = False
    allowed: list[str] = field(default_factory=list)


@dataclass
class BacktestSettings:
    """Rolling origins: `origins` of them, `step_days` apart, each judged on `test_snapshots`
    snapshots every `test_step_days` from the origin on.

    Intervals come from `draws` of customers. `audit` names attributes of customers: who gets help.
    A group with fewer than `min_churned` churned, or staying, rows is not judged. `churn train`
    builds a panel for each origin where its own has at most `rebuild_rows` rows to learn from, else
    its origins lie inside the one panel it has, learn from at most about `most_rows` of it (all rows
    of a share of the customers) and are judged on everybody.
    """

    origins: int = 4
    step_days: int = 28
    test_snapshots: int = 4
    test_step_days: int = 7
    draws: int = 400
    min_churned: int = 20
    audit: list[str] = field(default_factory=list)
    rebuild_rows: int = 100_000
    most_rows: int = 60_000

    def __post_init__(self) -> None:
        _between("backtest.rebuild_rows", self.rebuild_rows, 0, 1e12)
        _between("backtest.most_rows", self.most_rows, 1000, 1e12)
        _between("backtest.origins", self.origins, 0, 100)
        _between("backtest.step_days", self.step_days, 1, 3650)
        _between("backtest.test_snapshots", self.test_snapshots, 1, 100)
        _between("backtest.test_step_days", self.test_step_days, 1, 365)
        _between("backtest.draws", self.draws, 100, 10_000)
        _between("backtest.min_churned", self.min_churned, 2, 1_000_000)


FIGURES = ["average_precision", "roc_auc", "lift_at_list", "log_loss_skill"]
"""What a search can be after: more of it is better."""


@dataclass
class TuneSettings:
    """A search of `trials`, begun within `timeout_minutes` (0: all of them), for more of `figure`.

    `models` may be chosen, and `families` switched on or off (none named: every family that no
    other one reads). A trial learns from at most about `most_rows` rows of an origin: all rows of a
    share of the customers. `name` is that of the preset that is written.
    """

    trials: int = 40
    timeout_minutes: float = 0
    figure: str = "average_precision"
    models: list[str] = field(default_factory=lambda: ["blend", "lightgbm", "logistic"])
    families: list[str] = field(default_factory=list)
    most_rows: int = 30_000
    name: str = "tuned"

    def __post_init__(self) -> None:
        _between("tune.trials", self.trials, 1, 10_000)
        _between("tune.timeout_minutes", self.timeout_minutes, 0, 100_000)
        _one_of("tune.figure", self.figure, FIGURES)
        _between("the number of tune.models", len(self.models), 1, 3)
        for model in self.models:
            _one_of("tune.models", model, MODELS)
        _between("tune.most_rows", self.most_rows, 1000, 1e12)
        _plain_name("tune.name", self.name)


@dataclass
class CompareSettings:
    """`runs`: two or more by name, version, alias or MLflow's id; RUN:CONTESTANT is one that was
    judged beside its model, such as champion or longest_silent. Each is compared with the first."""

    runs: list[str] = field(default_factory=list)


@dataclass
class DefineSettings:
    """Candidates for `churn=inactivity`, at snapshots `step_days` apart (see `conf/define.yaml`)."""

    active_days: list[int] = field(default_factory=lambda: [14, 28, 56, 84])
    horizon_days: list[int] = field(default_factory=lambda: [14, 28, 42, 56, 84])
    step_days: int = 14
    return_days: int = 84
    max_returning: float = 0.2

    def __post_init__(self) -> None:
        for key, found in (("active", self.active_days), ("horizon", self.horizon_days)):
            _between(f"the number of define.{key}_days", len(found), 1, 50)
            for days in found:
                _between(f"define.{key}_days", days, 1, 3650)
        _between("define.step_days", self.step_days, 1, 365)
        _between("define.return_days", self.return_days, 1, 3650)
        _between("define.max_returning", self.max_returning, 0, 1)


@dataclass
class ExplainSettings:
    """`language` names a file of sentences in `conf/explain/sentences`."""

    language: str = "en"
    n_global: int = 2000

    def __post_init__(self) -> None:
        _between("explain.n_global", self.n_global, 1, 1e9)


@dataclass
class ReplaySettings:
    """A model is refitted every `refit_weeks` weeks on what was known then."""

    refit_weeks: int = 4

    def __post_init__(self) -> None:
        _between("replay.refit_weeks", self.refit_weeks, 1, 520)


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


@dataclass
class Settings:
    """Everything a command can be told. `as_of`, `known_at`: see the contract's words.

    `name` is what a train or backtest is called in MLflow and by `churn compare`.
    """

    workspace: str = "data"
    name: str | None = None
    as_of: str | None = None
    known_at: str | None = None
    from_date: str | None = None
    to_date: str | None = None
    customer: str | None = None
    seed: int = 7
    debug: bool = False
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
    replay: ReplaySettings = field(default_factory=ReplaySettings)

    def __post_init__(self) -> None:
        self.as_of_date(), self.known_at_moment()
        for key, text in (("from", self.from_date), ("to", self.to_date)):
            parse_date(text, key=key) if text else None
        if self.name is not None:
            _plain_name("name", self.name)
        _between("seed", self.seed, 0, 2**31 - 1)
        _one_of("churn.name", self.churn.name, ["inactivity", "cancellation"])
        _between("churn.active_days", self.churn.active_days, 1, 3650)
        if self.churn.name == "inactivity":
            reach = "churn.active_days, within features.lookback_days,"
            _between(reach, self.churn.active_days, 1, self.features.lookback_days)
        if self.churn.name == "inactivity" and self.churn.active_days > self.features.lookback_days:
            raise ConfigurationError(
                "churn.active_days reaches further back than the features",
                got=f"{self.churn.active_days} days against {self.features.lookback_days}",
                expected="churn.active_days of at most features.lookback_days",
                next_step=f"set features.lookback_days={self.churn.active_days}",
            )
        _between("churn.horizon_days", self.churn.horizon_days, 1, 3650)
        _between("churn.gap_days", self.churn.gap_days, 0, 3650)
        _between("retain.save_rate", self.retain.save_rate, 0, 1)
        _between("retain.capacity_share", self.retain.capacity_share, 0, 1)
        _between("retain.capacity_per_owner", self.retain.capacity_per_owner, 0, 1e9)
        _between("retain.capacity_min", self.retain.capacity_min, 0, 1e9)
        _between("retain.contact_cost", self.retain.contact_cost, 0, 1e12)

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
            _one_of("source.static", name, list(attributes))
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
    _one_of(
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
    said = content.get("config", {}).get("overrides", [])
    return to_settings(OmegaConf.create({**content, "config": {"overrides": said}}))


def to_settings(composed: Any) -> Settings:
    """A composed configuration as settings; unknown keys and wrong types are refused here."""
    from omegaconf import OmegaConf

    settings = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Settings), composed))
    assert isinstance(settings, Settings)
    return settings


def _one_of(key: str, value: str, known: list[str]) -> None:
    if value not in known:
        hint = nearest(value, known)
        raise ConfigurationError(
            f"{key} has a value that does not exist",
            got=value,
            expected=f"one of: {', '.join(known)}",
            next_step=hint if hint.startswith("did you mean") else "choose one of these",
        )


def _plain_name(key: str, value: str) -> None:
    """Names of runs and presets become those of files and stand in lists of words."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", value):
        raise ConfigurationError(
            f"{key} is not a plain name",
            got=value,
            expected="letters, digits, _, . and -, at most 80, such as no_text",
            next_step=f"choose another {key}",
        )


def _variable(key: str, value: str) -> None:
    """Raise `ConfigurationError` for what names no variable; it may be the secret itself."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ConfigurationError(
            f"{key} is not the name of an environment variable",
            got="other characters (not shown: a URL holds a password)",
            expected="letters, digits and _, such as CHURN_SQL_URL",
            next_step=f"export CHURN_SQL_URL=…, and leave {key} as it is",
        )


def _between(key: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigurationError(
            f"{key} is out of range",
            got=str(value),
            expected=f"a number from {low} to {high}",
            next_step=f"set {key} within that range",
        )
