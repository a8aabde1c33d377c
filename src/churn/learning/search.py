"""What a search looks for: recipes and families, judged at the same origins one after another.

Nothing here draws or chooses; `io.study` does. A choice maps configuration keys to values
(`train.lightgbm.num_leaves`: 9), and families to whether they are on (`features.text`: False).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from churn.features.definitions import Feature
from churn.features.vocabulary import PEERS
from churn.learning import backtest, baselines, intervals, metrics, models, splits
from churn.learning.backtest import MODEL, Origin
from churn.learning.models import Recipe

DEFAULT = "default"
FAMILY = "features."
MODEL_KEY = "train.model"

FLIPPED = 0.15
"""How likely each family stands otherwise than by default in one of the first, random trials. With
half of twenty families off, hardly any of them would be near what is good."""


@dataclass(frozen=True)
class Knob:
    """One thing to choose: a number from `low` to `high`, or one of `choices`.

    `models`: those that have it. `is_log`: small numbers are tried as often as large ones.
    """

    key: str
    low: float = 0.0
    high: float = 0.0
    is_log: bool = False
    is_whole: bool = False
    choices: tuple[Any, ...] = ()
    models: tuple[str, ...] = ("blend", "lightgbm", "logistic")


TREES, LINE = ("blend", "lightgbm"), ("blend", "logistic")

KNOBS = (
    Knob("train.half_life_days", choices=(0.0, 56.0, 168.0)),
    Knob("train.logistic_c", 0.003, 1.0, is_log=True, models=LINE),
    Knob("train.lightgbm.num_leaves", 4, 48, is_log=True, is_whole=True, models=TREES),
    Knob("train.lightgbm.learning_rate", 0.02, 0.15, is_log=True, models=TREES),
    Knob("train.lightgbm.n_rounds", 100, 600, is_whole=True, models=TREES),
    Knob("train.lightgbm.min_data_in_leaf", 20, 800, is_log=True, is_whole=True, models=TREES),
    Knob("train.lightgbm.feature_fraction", 0.05, 0.8, models=TREES),
    Knob("train.lightgbm.bagging_fraction", 0.5, 1.0, models=TREES),
    Knob("train.lightgbm.lambda_l2", 0.1, 100.0, is_log=True, models=TREES),
)
"""Around the defaults: about ten times down and up where steps are relative."""


@dataclass(frozen=True)
class Space:
    """Where the search may go from `base`: the `models`, and `families` → whether they are on there."""

    base: Recipe
    models: tuple[str, ...]
    families: Mapping[str, bool] = field(default_factory=dict)

    def knobs(self, model: str) -> list[Knob]:
        """What there is to choose once the model is chosen, families last; `base` is within reach."""
        numbers = [_reaching(k, value(self.base, k.key)) for k in KNOBS if model in k.models]
        return [*numbers, *(Knob(FAMILY + name, choices=(True, False)) for name in self.families)]

    def default(self) -> dict[str, Any]:
        """The choice that is `base` itself."""
        return {
            MODEL_KEY: self.base.model,
            **{k.key: value(self.base, k.key) for k in KNOBS if self.base.model in k.models},
            **{FAMILY + name: is_on for name, is_on in self.families.items()},
        }

    def near_default(self, *, seed: int, trial: int) -> dict[str, bool]:
        """Families for one of the first trials: most as they are by default."""
        random = np.random.default_rng([seed, trial])
        flips = random.random(len(self.families)) < FLIPPED
        return {
            FAMILY + name: bool(is_on != flip)
            for (name, is_on), flip in zip(self.families.items(), flips, strict=True)
        }


@dataclass(frozen=True)
class Trial:
    """One choice and its figure: the mean over the origins after each of them.

    A trial that was pruned stopped early.
    """

    number: int
    choice: Mapping[str, Any]
    so_far: tuple[float, ...]
    is_pruned: bool

    @property
    def value(self) -> float:
        return self.so_far[-1]


def best(trials: Sequence[Trial]) -> Trial:
    """The finished trial with the highest figure, the earliest of equals (the default is first)."""
    return max((t for t in trials if not t.is_pruned), key=lambda t: (t.value, -t.number))


def switchable(features: Sequence[Feature]) -> list[str]:
    """The families that can be left out alone: no other one reads their features."""
    home = {f.name: f.family for f in features}
    home |= {f"{PEERS}{name}": family for name, family in home.items()}
    read = {
        home[column]
        for f in features
        for column in f.columns()
        if column in home and home[column] != f.family
    }
    return [name for name in dict.fromkeys(f.family for f in features) if name not in read]


def recipe(base: Recipe, choice: Mapping[str, Any]) -> Recipe:
    """`base` with what a choice says of the model."""
    said = {
        key.removeprefix("train."): value
        for key, value in choice.items()
        if not key.startswith(FAMILY)
    }
    trees = {key.removeprefix("lightgbm."): said.pop(key) for key in [*said] if "lightgbm." in key}
    return replace(base, **said, lightgbm={**base.lightgbm, **trees})


def without(off: Sequence[str], choice: Mapping[str, Any]) -> list[str]:
    """The families that are off: of those in `off`, and of those that the choice speaks of."""
    said = {k.removeprefix(FAMILY): on for k, on in sorted(choice.items()) if k.startswith(FAMILY)}
    kept = [name for name in off if not said.get(name, False)]
    return [*kept, *(name for name, is_on in said.items() if not is_on and name not in kept)]


def changes(choice: Mapping[str, Any], *, base: Recipe, off: Sequence[str]) -> dict[str, Any]:
    """Configuration key → value, where the choice differs from `base` and the families in `off`."""
    found = {
        key: new
        for key, new in sorted(choice.items())
        if not key.startswith(FAMILY) and new != value(base, key)
    }
    families = without(off, choice)
    return found | ({"features.without": families} if set(families) != set(off) else {})


def value(recipe: Recipe, key: str) -> Any:
    """What the recipe has for a configuration key.

    >>> value(Recipe(lightgbm={"num_leaves": 9}), "train.lightgbm.num_leaves")
    9
    """
    name = key.removeprefix("train.")
    trees = name.removeprefix("lightgbm.")
    return recipe.lightgbm[trees] if trees != name else getattr(recipe, name)


def is_hopeless(trials: Sequence[Trial], so_far: Sequence[float], *, at_least: int) -> bool:
    """Whether the mean so far is below the median of the trials before that got as far.

    Optuna's own median rule takes a trial's best mean of any origin so far; but origins differ in how
    easy they are, and after an easy first one hardly any trial would be given up. With fewer than
    `at_least` trials to compare with, none is.
    """
    n = len(so_far)
    others = [one.so_far[n - 1] for one in trials if len(one.so_far) >= n]
    return len(others) >= at_least and so_far[-1] < float(np.median(others))


def sampled(origin: Origin, *, most_rows: int, seed: int) -> Origin:
    """The origin with a share of its customers to learn from, and all of those to be judged on."""
    train = splits.sample_customers(origin.train, max_rows=most_rows, seed=seed)
    return replace(origin, train=train)


def can_judge(origin: Origin) -> bool:
    """Whether there are outcomes of both kinds to learn from, and to be judged on."""
    few = models.MIN_CHURNED
    return all(
        min(rows["label"].sum(), (1 - rows["label"]).sum()) >= least
        for rows, least in ((origin.train, few), (origin.test, 1))
    )


def judged(
    origins: Sequence[Origin], recipe: Recipe, off: Sequence[str], *, figure: str, list_share: float
) -> Iterator[float]:
    """After each origin, the mean of `figure` over the origins so far."""
    found: list[float] = []
    for origin in origins:
        model = models.fit(origin.train, features=chosen(origin.features, off), recipe=recipe)
        risk = models.predict(model, origin.test)
        label = origin.test["label"].to_numpy(dtype=float)
        figures = metrics.evaluate(
            label, risk, snapshot=origin.test["snapshot"], list_share=list_share, risk=risk
        )
        found.append(figures[figure])
        yield float(np.mean(found))


def chosen(features: Sequence[Feature], off: Sequence[str]) -> list[Feature]:
    return [f for f in features if f.family not in off]


def final(
    held: Origin,
    contestants: Mapping[str, tuple[Recipe, Sequence[str]]],
    *,
    list_share: float,
    draws: int,
    seed: int,
) -> dict[str, Any] | None:
    """The winner (`model`) and `default` on an origin that the search never saw, as JSON types.

    `contestants` are recipes with the families that are off. `differences` are winner minus
    default, paired, by draws of customers; None where the default has won the search. None where
    nobody could be judged.
    """

    def fitted(origin: Origin) -> dict[str, baselines.Baseline]:
        return {
            name: baselines.fit_model(name, origin.train, chosen(origin.features, off), its)
            for name, (its, off) in contestants.items()
        }

    found = backtest.run([held], contestants=fitted, list_share=list_share)
    if found is None:
        return None
    by_name = backtest.drawn(found, n=draws, seed=seed)
    minus = backtest.differences(by_name, of=MODEL).get(DEFAULT) if MODEL in by_name else None
    return {
        "at": str(held.at),
        "n_train": len(held.train),
        "figures": found.figures,
        "intervals": {
            name: {key: intervals.interval(values) for key, values in each.items()}
            for name, each in by_name.items()
        },
        "differences": minus,
    }


def is_better(final: Mapping[str, Any] | None, figure: str) -> bool:
    """Whether the winner beat the default where the search never looked: lower 95 % bound above 0."""
    low = final["differences"][figure]["low"] if final and final["differences"] else None
    return low is not None and low > 0


def _reaching(knob: Knob, there: Any) -> Knob:
    """The knob with what the base has in its range."""
    if knob.choices:
        return replace(knob, choices=tuple(dict.fromkeys((there, *knob.choices))))
    return replace(knob, low=min(knob.low, there), high=max(knob.high, there))
