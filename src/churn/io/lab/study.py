"""Optuna, and nothing else here knows it: which choice to try next, which one to give up.

Optuna keeps nothing between runs. Finished trials stand in one file that is renamed into place after
each, so a search that was killed goes on where it stopped; trial k is drawn from the seed, k and
the trials before it, so it ends like one that was never killed.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from churn.io import bundle, tables
from churn.learning.search import MODEL_KEY, Knob, Space, Trial, is_hopeless

log = logging.getLogger("churn")

N_RANDOM = 10
"""Trials before Optuna learns from them: the default, then nine drawn at random around it."""

N_UNPRUNED = 4
"""Trials before any is given up: a median of fewer says nothing."""

Judge = Callable[[Mapping[str, Any]], Iterator[float]]
"""A choice → its figure so far, after each origin."""


class Study:
    """A search over `space` for the highest figure; `question` is everything that decides a trial.

    Trials of the same question that stand in `path` are taken over. A trial ends after `n_origins`.
    """

    def __init__(
        self, space: Space, *, n_origins: int, seed: int, path: Path, question: Any
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self._space, self._n_origins = optuna, space, n_origins
        self._seed, self._path = seed, path
        self._question = hashlib.sha256(bundle.canonical(question).encode()).hexdigest()
        self._study = optuna.create_study(direction="maximize")
        self._kept: list[dict[str, Any]] = []
        self.facts: dict[str, Any] = {}
        before = tables.read_json(path) if path.exists() else {}
        if before.get("question") == self._question:
            self.facts = before["facts"]
            for entry in before["trials"]:
                self._take_over(entry)

    @property
    def trials(self) -> list[Trial]:
        return [
            Trial(k, one["choice"], tuple(one["so_far"]), one["is_pruned"])
            for k, one in enumerate(self._kept)
        ]

    def run(self, judge: Judge, *, n: int, timeout_minutes: float = 0) -> Iterator[Trial]:
        """Try until there are `n` trials, or none may begin any more; gives each as it ends."""
        end = time.monotonic() + 60 * timeout_minutes if timeout_minutes else float("inf")
        while len(self._kept) < n:
            if time.monotonic() > end and self._kept:
                log.info("tune.timeout_minutes are over after %d trials", len(self._kept))
                return
            yield self._try(judge)

    def keep(self, **facts: Any) -> None:
        """Write the trials so far, with `facts` about them, in one rename."""
        self.facts |= facts
        content = {"question": self._question, "facts": self.facts, "trials": self._kept}
        tables.write_sealed(self._path, content)

    def _try(self, judge: Judge) -> Trial:
        number = len(self._kept)
        self._study.sampler = self._optuna.samplers.TPESampler(
            n_startup_trials=N_RANDOM, seed=self._seed + number
        )
        if number == 0:
            self._study.enqueue_trial(self._space.default())
        elif number < N_RANDOM:
            self._study.enqueue_trial(self._space.near_default(seed=self._seed, trial=number))
        trial = self._study.ask()
        drawn = self._drawn(trial)
        # trial 0 is the default to the last digit; the others can be typed
        choice = drawn if number == 0 else {name: _rounded(v) for name, v in drawn.items()}
        so_far: list[float] = []
        is_pruned = False
        for figure in judge(choice):
            so_far.append(figure)
            trial.report(figure, len(so_far))
            is_last = len(so_far) == self._n_origins
            if not is_last and is_hopeless(self.trials, so_far, at_least=N_UNPRUNED):
                is_pruned = True
                break
        self._study.tell(trial, None if is_pruned else so_far[-1], state=self._state(is_pruned))
        self._kept.append(
            {"drawn": drawn, "choice": choice, "so_far": so_far, "is_pruned": is_pruned}
        )
        self.keep()
        return self.trials[-1]

    def _drawn(self, trial: Any) -> dict[str, Any]:
        """The model first, since it decides what else there is to choose."""
        model = trial.suggest_categorical(MODEL_KEY, self._space.models)
        drawn = {MODEL_KEY: model}
        for knob in self._space.knobs(model):
            if knob.choices:
                drawn[knob.key] = trial.suggest_categorical(knob.key, knob.choices)
            elif knob.is_whole:
                low, high = int(knob.low), int(knob.high)
                drawn[knob.key] = trial.suggest_int(knob.key, low, high, log=knob.is_log)
            else:
                drawn[knob.key] = trial.suggest_float(
                    knob.key, knob.low, knob.high, log=knob.is_log
                )
        return drawn

    def _take_over(self, entry: dict[str, Any]) -> None:
        drawn, so_far = entry["drawn"], entry["so_far"]
        knobs = self._space.knobs(drawn[MODEL_KEY])
        kinds = {knob.key: self._distribution(knob) for knob in knobs}
        kinds[MODEL_KEY] = self._optuna.distributions.CategoricalDistribution(self._space.models)
        self._study.add_trial(
            self._optuna.trial.create_trial(
                params=drawn,
                distributions=kinds,
                intermediate_values=dict(enumerate(so_far, 1)),
                value=so_far[-1],
                state=self._state(entry["is_pruned"]),
            )
        )
        self._kept.append(entry)

    def _distribution(self, knob: Knob) -> Any:
        kinds = self._optuna.distributions
        if knob.choices:
            return kinds.CategoricalDistribution(knob.choices)
        if knob.is_whole:
            return kinds.IntDistribution(int(knob.low), int(knob.high), log=knob.is_log)
        return kinds.FloatDistribution(knob.low, knob.high, log=knob.is_log)

    def _state(self, is_pruned: bool) -> Any:
        states = self._optuna.trial.TrialState
        return states.PRUNED if is_pruned else states.COMPLETE


def _rounded(drawn: Any) -> Any:
    """Three digits, as a person would type them.

    >>> _rounded(0.0432198), _rounded(17), _rounded(True)
    (0.0432, 17, True)
    """
    return float(f"{drawn:.3g}") if isinstance(drawn, float) else drawn
