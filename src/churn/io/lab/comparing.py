"""A comparison of runs as people read it: who is better, by how much, where, and what was set otherwise."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from churn.io.canvas import MODEL, QUIET, RIVAL, STYLE, png
from churn.io.lab import model_card
from churn.io.lab.runs import Run
from churn.io.lab.tuning import NAMES, SHORT, spelled
from churn.learning.comparison import FIGURES

COLOURS = (MODEL, RIVAL, "#3a8f5c", "#7a5195")
HEADS = {**SHORT, "calibration": "nearer to 1"}


def text(
    found: Mapping[str, Any], runs: Sequence[Run], settings: Mapping[str, Sequence[Any]]
) -> str:
    """The whole report as Markdown; `settings` as `runs.differences` gives them."""
    pooled, days = found["pooled"], [one["at"] for one in found["by_origin"]]
    parts = [
        f"# {' and '.join(found['won'])} against {found['first']}",
        f"The same {pooled['n_rows']:,} rows, {pooled['n_churned']:,} churned, at {len(days)} origins "
        f"from {days[0]} to {days[-1]}. Intervals: 95 %, by the same draws of customers for all.",
        "\n".join(f"- **{verdict(found, name)}**" for name in found["won"]),
        "## Pooled\n\n" + "\n".join(_pooled(found)),
        f"## Minus {found['first']}, paired\n\n" + "\n".join(_minus(found)),
        "More is better everywhere; the last column is how much nearer predicted / actual is to 1 (in its "
        "logarithm).",
        "## By origin: average precision\n\n" + "\n".join(_by_origin(found)),
        "## What was set otherwise\n\n" + "\n".join(_settings(runs, settings)),
    ]
    return "\n\n".join(parts) + "\n"


def verdict(found: Mapping[str, Any], name: str) -> str:
    """In one sentence: whether a run is better than the first, worse, or neither can be said."""
    key = "average_precision"
    minus = found["pooled"]["differences"][name][key]
    figure = f"average precision {model_card.with_interval(minus)}"
    won = f"above it at {found['won'][name]} of {len(found['by_origin'])} origins"
    if minus["low"] is not None and minus["low"] > 0:
        return f"{name} is better than {found['first']}: {figure}; {won}."
    if minus["high"] is not None and minus["high"] < 0:
        return f"{name} is worse than {found['first']}: {figure}; {won}."
    return f"Between {name} and {found['first']} these rows cannot decide: {figure}; {won}."


def picture(found: Mapping[str, Any]) -> bytes:
    """Each figure's difference from the first run with its interval, pooled and by origin, as PNG."""
    rows = [("pooled", found["pooled"]), *((one["at"], one) for one in found["by_origin"])]
    names = list(found["won"])
    with matplotlib.rc_context({**STYLE, "axes.titlesize": 11}):
        height = 1.9 + 0.36 * len(rows) * max(1, len(names) / 2)
        figure = Figure(figsize=(11, height), layout="constrained")
        FigureCanvasAgg(figure)
        shown = FIGURES[:4]
        for k, (axes, key) in enumerate(
            zip(figure.subplots(1, 4, sharey=True), shown, strict=True)
        ):
            _draw(axes, key, rows, names)
            axes.set_title(NAMES[key])
            if k == 0:
                axes.set_yticks(range(len(rows)), [label for label, _ in rows])
                axes.invert_yaxis()
        handles, labels = axes.get_legend_handles_labels()
        figure.suptitle(f"Minus {found['first']}: right of the line is better", x=0.01, ha="left")
        if len(names) > 1:
            figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return png(figure)


def _draw(axes: Axes, key: str, rows: Sequence[tuple[str, Any]], names: Sequence[str]) -> None:
    axes.axvline(0, color=QUIET, linestyle="--", linewidth=1)
    for n, name in enumerate(names):
        shift = (n - (len(names) - 1) / 2) * 0.22
        for place, (_, one) in enumerate(rows):
            minus = one["differences"][name][key]
            if minus["value"] is None or minus["low"] is None:
                continue
            ends = [[minus["value"] - minus["low"]], [minus["high"] - minus["value"]]]
            axes.errorbar(
                minus["value"], place + shift, xerr=np.maximum(ends, 0), fmt="o", capsize=3,
                color=COLOURS[n % len(COLOURS)], markersize=8 if place == 0 else 5,
                linewidth=2.5 if place == 0 else 1, label=name if place == 0 else None,
            )  # fmt: skip
    axes.tick_params(axis="x", labelsize=9)
    axes.locator_params(axis="x", nbins=4)


def _pooled(found: Mapping[str, Any]) -> list[str]:
    rows = [["", *SHORT.values()]]
    for name, figures in found["pooled"]["figures"].items():
        rows.append([name, *(spelled(figures[key]) for key in SHORT)])
    return model_card.aligned(rows)


def _minus(found: Mapping[str, Any]) -> list[str]:
    rows = [["", *(HEADS[key] for key in FIGURES)]]
    for name, figures in found["pooled"]["differences"].items():
        rows.append([name, *(model_card.with_interval(figures[key]) for key in FIGURES)])
    return model_card.aligned(rows)


def _by_origin(found: Mapping[str, Any]) -> list[str]:
    key, names = "average_precision", list(found["pooled"]["figures"])
    rows = [["origin", "rows", "churned", *names, *(f"{n} minus {names[0]}" for n in names[1:])]]
    for one in found["by_origin"]:
        values = [one["figures"][name][key]["value"] for name in names]
        cells = ["–" if value is None else f"{value:.3f}" for value in values]
        cells += [model_card.with_interval(one["differences"][name][key]) for name in names[1:]]
        rows.append([one["at"], f"{one['n_rows']:,}", f"{one['n_churned']:,}", *cells])
    return model_card.aligned(rows)


def _settings(runs: Sequence[Run], settings: Mapping[str, Sequence[Any]]) -> list[str]:
    rows = [["key", *(run.word for run in runs)]]
    if len({run.contestant for run in runs}) > 1:
        rows.append(["(contestant)", *(run.contestant for run in runs)])
    rows += [[key, *_values(values)] for key, values in settings.items()]
    return model_card.aligned(rows) if len(rows) > 1 else ["Nothing: the settings are the same."]


def _values(values: Sequence[Any]) -> list[str]:
    """The value of each run; of lists only what is not in all of them."""
    if not all(isinstance(value, list) for value in values):
        return [str(value) for value in values]
    shared = set.intersection(*(set(value) for value in values))
    own = [[str(item) for item in value if item not in shared] for value in values]
    return [f"also {', '.join(items)}" if items else "–" for items in own]
