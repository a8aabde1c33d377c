"""A search as people read it: the verdict, the words that train with the winner, trials, pictures."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import yaml

from churn.io.canvas import MODEL, QUIET, RIVAL, blank, note, png
from churn.io.lab import model_card
from churn.learning import search
from churn.learning.search import DEFAULT, FAMILY, Space, Trial
from churn.settings import Settings

N_SHOWN = 10
NAMES = {
    "average_precision": "average precision",
    "lift_at_list": "lift at the list",
    "roc_auc": "ROC AUC",
    "log_loss_skill": "log-loss skill",
    "calibration_ratio": "predicted / actual",
}
SHORT = {
    "average_precision": "AP",
    "lift_at_list": "lift",
    "roc_auc": "ROC AUC",
    "log_loss_skill": "skill",
    "calibration_ratio": "predicted/actual",
}


@dataclass(frozen=True)
class Search:
    """All there is to tell: `origins` and `held` are days, `n_rows` the most that a trial learnt from.

    `final` as `search.final` gives it; `off` are the families that are off by default.
    """

    settings: Settings
    space: Space
    off: Sequence[str]
    trials: Sequence[Trial]
    origins: Sequence[date]
    held: date
    n_rows: int
    final: Mapping[str, Any] | None

    @property
    def figure(self) -> str:
        return self.settings.tune.figure

    @property
    def best(self) -> Trial:
        return search.best(self.trials)

    def changes(self, trial: Trial) -> dict[str, Any]:
        return search.changes(trial.choice, base=self.space.base, off=self.off)


def configured(settings: Settings, choice: Mapping[str, Any], *, off: Sequence[str]) -> Settings:
    """The settings that a training with the choice has; `off` as in `search.without`."""
    said = {k.removeprefix("train."): v for k, v in choice.items() if not k.startswith(FAMILY)}
    trees = {k.removeprefix("lightgbm."): said.pop(k) for k in [*said] if "lightgbm." in k}
    train = replace(settings.train, **said, lightgbm=replace(settings.train.lightgbm, **trees))
    features = replace(settings.features, without=search.without(off, choice))
    return replace(settings, train=train, features=features)


def command(told: Search) -> str:
    """What trains with the winner, ready to be pasted: the words of this search, then the winner's."""
    mine = _words(told.changes(told.best))
    names = {word.partition("=")[0] for word in mine} | {"name"}
    kept = [
        word
        for word in told.settings.config.overrides
        if not word.startswith("tune.") and word.partition("=")[0] not in names
    ]
    said = " ".join(shlex.quote(word) for word in [*kept, *mine])
    train = f"churn train {said} name={told.settings.tune.name}".replace("  ", " ")
    return f"churn features {said} && {train}" if _needs_panel(mine) else train


def preset(told: Search) -> bytes:
    """The winner as a file for `experiment=`, its first line what `churn train --help` shows."""
    tree: dict[str, Any] = {}
    for key, value in told.changes(told.best).items():
        *parents, leaf = key.split(".")
        place = tree
        for name in parents:
            place = place.setdefault(name, {})
        place[leaf] = value
    head = f"# @package _global_\n# Found by `churn tune`. {verdict(told)}\n"
    return (head + yaml.safe_dump(tree, sort_keys=False)).encode()


def verdict(told: Search) -> str:
    """In words: whether the winner earned its place."""
    name, n = NAMES[told.figure], len(told.trials)
    if told.best.number == 0:
        return (
            f"The default stays: none of the {n - 1} other trials did better in the search itself."
        )
    if told.final is None or told.final["differences"] is None:
        return "The default stays: nobody could be judged on an origin that the search never saw."
    found = model_card.with_interval(told.final["differences"][told.figure])
    where = (
        f"{name} minus the default's is {found} at {told.final['at']}, which the search never saw"
    )
    if search.is_better(told.final, told.figure):
        return f"The winner is better: its {where}."
    return f"The default stays: the winner's {where}, and that interval does not lie above 0."


def text(told: Search) -> str:
    """The whole report as Markdown."""
    pruned = sum(trial.is_pruned for trial in told.trials)
    days = ", ".join(map(str, told.origins))
    parts = [
        f"# Search for a better model, judged at {told.held}",
        f"A customer who {told.settings.churn.in_words()}. {len(told.trials)} trials at the same "
        f"{len(told.origins)} origins ({days}), one after another; {pruned} given up early, their "
        f"mean being below the median of those before. A trial learnt from at most "
        f"{told.n_rows:,} rows of an origin and was judged on all its customers. Figure: mean "
        f"{NAMES[told.figure]} over the origins.",
        f"**{verdict(told)}**",
        *_how(told),
        *_final(told),
        "## The best trials\n\n" + "\n".join(_best(told)),
        "## What was searched\n\n" + "\n".join(_space(told)),
    ]
    return "\n\n".join(parts) + "\n"


def pictures(told: Search) -> dict[str, bytes]:
    """The trials one after another, as PNG bytes by file name."""
    return {"trials.png": _picture(told)}


def _words(changes: Mapping[str, Any]) -> list[str]:
    return [
        f"{key}=[{','.join(value)}]" if isinstance(value, list) else f"{key}={value}"
        for key, value in changes.items()
    ]


def _needs_panel(words: Sequence[str]) -> bool:
    return any(word.startswith("features.") for word in words)


def _how(told: Search) -> list[str]:
    """How to train with the winner, and that nobody has to."""
    if not told.changes(told.best):
        return []
    is_better = search.is_better(told.final, told.figure)
    head = "## Train with the winner" if is_better else "## To train with the winner all the same"
    folder = told.settings.place / "tune"
    return [
        head,
        f"`{command(told)}`",
        f"The same as a preset: `--config-dir {folder} experiment={told.settings.tune.name}`, instead of "
        "the words that begin with train. or features.without.",
    ]


def _final(told: Search) -> list[str]:
    if told.final is None:
        return []
    rows = [["", *SHORT.values()]]
    for name, title in (("model", "winner"), (DEFAULT, "default")):
        if name in told.final["intervals"]:
            found = told.final["intervals"][name]
            rows.append([title, *(spelled(found[key]) for key in SHORT)])
    minus = told.final["differences"]
    if minus:
        cells = [model_card.with_interval(minus[key]) if key in minus else "–" for key in SHORT]
        rows.append(["winner minus default", *cells])
    judged = told.final["figures"][DEFAULT]
    head = (
        f"## At {told.final['at']}, which the search never saw\n\n"
        f"Both learnt from all {told.final['n_train']:,} rows known on that day, calibrated as in "
        f"training; {judged['n_rows']:,.0f} later rows, {judged['n_churned']:,.0f} churned. The search "
        "knew no outcome of that day or later. Intervals: 95 %, by draws of customers."
    )
    return [head, "\n".join(model_card.aligned(rows))]


def spelled(found: Mapping[str, float | None]) -> str:
    """A figure with its interval."""
    if found["value"] is None or found["low"] is None:
        return "–"
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def _best(told: Search) -> list[str]:
    """The best trials with what they change, and the default wherever it stands."""
    done = [t for t in told.trials if not t.is_pruned]
    ranked = sorted(done, key=lambda t: (-t.value, t.number))
    shown = ranked[:N_SHOWN]
    if told.trials[0] not in shown:
        shown.append(told.trials[0])
    return [
        f"- **{t.value:.4f}** trial {t.number}, {t.choice[search.MODEL_KEY]}: {_said(told, t)}"
        for t in shown
    ]


def _said(told: Search, trial: Trial) -> str:
    said = " ".join(_words(told.changes(trial)))
    return f"`{said}`" if said else "the default"


def _space(told: Search) -> list[str]:
    knobs = {knob.key: knob for model in told.space.models for knob in told.space.knobs(model)}
    said = [f"- {search.MODEL_KEY}: {', '.join(told.space.models)}"]
    for key, knob in knobs.items():
        if not key.startswith(FAMILY):
            limits = ", ".join(map(str, knob.choices)) or f"{knob.low:g} to {knob.high:g}"
            said.append(f"- {key}: {limits}")
    families = ", ".join(f"{name}{'' if on else ' (off by default)'}"
                         for name, on in told.space.families.items())  # fmt: skip
    return [*said, f"- families on or off: {families or 'none'}"]


def _picture(told: Search) -> bytes:
    figure, axes = blank("What the trials found", height=5.6)
    done = [t for t in told.trials if not t.is_pruned]
    gone = [t for t in told.trials if t.is_pruned]
    axes.scatter([t.number for t in done], [t.value for t in done], color=MODEL, label="finished")
    if gone:
        axes.scatter(
            [t.number for t in gone], [t.value for t in gone], color=QUIET, marker="x",
            label="given up early (mean so far)",
        )  # fmt: skip
    so_far = np.maximum.accumulate([t.value for t in done])
    axes.step([t.number for t in done], so_far, color=MODEL, where="post", label="best so far")
    axes.axhline(told.trials[0].value, color=RIVAL, linestyle="--", label="default")
    axes.set(xlabel="trial", ylabel=f"mean {NAMES[told.figure]}")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    note(axes, f"{len(told.trials)} trials at {len(told.origins)} origins; a mean over fewer origins "
               "is no figure to compare")  # fmt: skip
    return png(figure)
