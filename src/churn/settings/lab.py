"""The experiment lab: training, backtest, search, comparison, promotion, the definition of churn."""

import re
from dataclasses import dataclass, field

from churn.errors import ConfigurationError, between
from churn.settings.checks import one_of, plain_name


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

CONTACTED = ["lists", "all", "ignore"]


@dataclass
class TrainSettings:
    """`model` is blend, lightgbm or logistic; figures are quoted at a list of `list_share`.

    `half_life_days` (0: none) and `monotone`: see `models.Recipe`. `contacted` says which contacts
    training takes out of what customers did: those of our `lists` (as `churn outcomes` recorded them),
    `all` (those of source.contacts too), or none (`ignore`).
    """

    model: str = "blend"
    snapshots: int = 26
    step_days: int = 14
    n_test_snapshots: int = 2
    n_folds: int = 3
    list_share: float = 0.02
    logistic_c: float = 0.02
    half_life_days: float = 0.0
    monotone: dict[str, int] = field(default_factory=dict)
    lightgbm: LightGBMSettings = field(default_factory=LightGBMSettings)
    contacted: str = "lists"
    ablation: bool = False
    experiment: str = "churn"
    tracking_uri: str = ""

    def __post_init__(self) -> None:
        one_of("train.model", self.model, MODELS)
        one_of("train.contacted", self.contacted, CONTACTED)
        between("train.snapshots", self.snapshots, 1, 200)
        between("train.step_days", self.step_days, 1, 365)
        between("train.n_test_snapshots", self.n_test_snapshots, 1, 100)
        between("train.n_folds", self.n_folds, 2, 20)
        between("train.list_share", self.list_share, 1e-6, 1)
        between("train.half_life_days", self.half_life_days, 0, 36_500)
        for name, sign in self.monotone.items():
            one_of(f"train.monotone.{name}", str(sign), ["1", "-1"])
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
        between("backtest.rebuild_rows", self.rebuild_rows, 0, 1e12)
        between("backtest.most_rows", self.most_rows, 1000, 1e12)
        between("backtest.origins", self.origins, 0, 100)
        between("backtest.step_days", self.step_days, 1, 3650)
        between("backtest.test_snapshots", self.test_snapshots, 1, 100)
        between("backtest.test_step_days", self.test_step_days, 1, 365)
        between("backtest.draws", self.draws, 100, 10_000)
        between("backtest.min_churned", self.min_churned, 2, 1_000_000)


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
        between("tune.trials", self.trials, 1, 10_000)
        between("tune.timeout_minutes", self.timeout_minutes, 0, 100_000)
        one_of("tune.figure", self.figure, FIGURES)
        between("the number of tune.models", len(self.models), 1, 3)
        for model in self.models:
            one_of("tune.models", model, MODELS)
        between("tune.most_rows", self.most_rows, 1000, 1e12)
        plain_name("tune.name", self.name)


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
            between(f"the number of define.{key}_days", len(found), 1, 50)
            for days in found:
                between(f"define.{key}_days", days, 1, 3650)
        between("define.step_days", self.step_days, 1, 365)
        between("define.return_days", self.return_days, 1, 3650)
        between("define.max_returning", self.max_returning, 0, 1)
