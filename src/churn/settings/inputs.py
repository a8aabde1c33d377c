"""What goes in and where queries run: engine, source, sink, roll-up, features."""

import re
from dataclasses import dataclass, field

from churn.contracts import SOURCES
from churn.errors import ConfigurationError, between
from churn.settings.checks import one_of, variable
from churn.simulate import World


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
        one_of("engine.name", self.name, ["duckdb", "spark"])
        between("engine.patience_s", self.patience_s, 1, 86_400)
        if not re.fullmatch(r"local(-cluster)?(\[[^\]]+\])?|(spark|k8s)://\S+|yarn", self.master):
            raise ConfigurationError(
                "engine.master is not a master of Spark",
                got=self.master,
                expected="local[2], spark://host:port, yarn or k8s://host:port",
                next_step="set engine.master in one of these forms",
            )
        between("engine.shuffle_partitions", self.shuffle_partitions, 1, 100_000)
        between("engine.threads", self.threads, 0, 1024)
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
        variable("source.url_variable", self.url_variable)
        between("source.reread_rows", self.reread_rows, 0, 10_000_000)
        between("source.batch_rows", self.batch_rows, 1, 10_000_000)
        one_of("source.name", self.name, ["demo", "files", "complete_journey", "sql", "spark"])
        one_of("source.format", self.format, FORMATS)
        self.delimiter = {"\\t": "\t"}.get(self.delimiter, self.delimiter)
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n' or not self.delimiter.isascii():
            raise ConfigurationError(
                "source.delimiter is not a character",
                got=repr(self.delimiter),
                expected="one ASCII character, no quote and no line break",
                next_step="set source.delimiter=';' or source.delimiter='\"\\t\"', for example",
            )
        one_of("source.unknown_customers", self.unknown_customers, ["refuse", "keep"])
        for name in self.columns:
            one_of("a key of source.columns", name, list(SOURCES["events"].columns))
        for table, columns in self.side_columns.items():
            one_of("a key of source.side_columns", table, list(SOURCES))
            for name in columns:
                one_of(f"a key of source.side_columns.{table}", name, list(SOURCES[table].columns))
        for name in self.exclude:
            one_of("a key of source.exclude", name, ["customer_id", "user_id", "event"])
        between("source.arrival_hours", self.arrival_hours, 0, 24 * 60)


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
        one_of("sink.name", self.name, ["none", "sql"])
        variable("sink.url_variable", self.url_variable)


@dataclass
class RollupSettings:
    """`max_rejected_share`: more refused rows than this in one file refuse the file.

    `texts` is a regular expression over event names: whose `text` is a message of the customer.
    """

    max_rejected_share: float = 0.001
    texts: str = "ticket|support|complain|review|feedback|survey"

    def __post_init__(self) -> None:
        between("rollup.max_rejected_share", self.max_rejected_share, 0, 1)


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
        between("features.lookback_days", self.lookback_days, 14, 3650)
        between("features.n_event_types", self.n_event_types, 0, 62)
        between("features.n_topics", self.n_topics, 0, 100)
        between("features.n_tastes", self.n_tastes, 0, 100)
        for days in self.windows:
            between("features.windows, within features.lookback_days,", days, 1, self.lookback_days)
