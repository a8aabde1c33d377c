"""Pictures of a trained model as PNG bytes; the same figures give the same bytes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import PercentFormatter

from churn.features.definitions import Feature
from churn.io.canvas import MODEL, QUIET, RIVAL, blank, note, png
from churn.learning import backtest, metrics, shapley, titles
from churn.learning.backtest import Backtest
from churn.learning.models import Model

Array = np.ndarray[Any, Any]

N_EXPLAINED = 2000
"""Rows behind the picture of feature families; more would not move a bar."""


def of_training(
    latest: pd.DataFrame,
    model: Model,
    judged: Backtest | None,
    *,
    features: Sequence[Feature],
    list_share: float,
) -> dict[str, bytes]:
    """The pictures of a training by file name; those of test figures only where there are any.

    Feature families are those of customers at the panel's `latest` snapshot.
    """
    chosen = np.unique(np.linspace(0, len(latest) - 1, min(N_EXPLAINED, len(latest))).astype(int))
    explained = shapley.contributions(model, latest.iloc[chosen])
    pictures = {
        "feature_families.png": families(shapley.by_family(explained, features).abs().mean())
    }
    if judged is not None:
        label = judged.rows["label"].to_numpy(dtype=float)
        shown = [name for name in (backtest.MODEL, "longest_silent") if name in judged.scores]
        scores = {titles.TITLES[name]: judged.scores[name] for name in shown}
        pictures["calibration.png"] = calibration(label, judged.risk)
        pictures["gain.png"] = gain(label, scores, list_share=list_share)
    return pictures


def calibration(label: Array, risk: Array) -> bytes:
    """Predicted against observed churn in groups of equal size, with the number of rows."""
    bins = metrics.calibration_bins(label, risk, n_bins=min(10, max(2, len(risk) // 50)))
    top = 1.15 * float(bins[["predicted", "observed"]].to_numpy().max())
    figure, axes = blank("Do the probabilities come true?", height=5.6)
    axes.plot([0, top], [0, top], color=QUIET, linestyle="--", label="perfectly calibrated")
    spread = 1.96 * np.sqrt(bins.observed * (1 - bins.observed) / bins.n_rows)
    axes.errorbar(
        bins.predicted,
        bins.observed,
        yerr=spread,
        color=MODEL,
        marker="o",
        capsize=3,
        label=f"model: groups of about {int(bins.n_rows.median()):,} test rows (95 % interval)",
    )
    axes.set(xlim=(0, top), ylim=(0, None), xlabel="predicted risk (mean of the group)")
    axes.set_ylabel("share that churned")
    axes.yaxis.set_major_formatter(_percent(top))
    axes.xaxis.set_major_formatter(_percent(top))
    ratio = float(np.mean(risk) / max(float(np.mean(label)), 1e-12))
    note(
        axes,
        f"{len(risk):,} test rows, {int(np.sum(label)):,} churned; predicted / actual {ratio:.2f}",
    )
    axes.legend(loc="upper left", frameon=False)
    return png(figure)


def gain(label: Array, scores: Mapping[str, Array], *, list_share: float) -> bytes:
    """Churned customers caught against customers contacted, one line per way of ranking.

    The first of `scores` is the model. The dotted line stands at the size of the list.
    """
    figure, axes = blank("How many leaving customers does the list catch?", height=5.6)
    colours = [MODEL, RIVAL, "#3a8f5c", "#7a5195"]
    for (name, score), colour in zip(scores.items(), colours, strict=False):
        contacted, caught = metrics.gain(label, score)
        at_list = float(np.interp(list_share, contacted, caught))
        axes.plot(contacted, caught, color=colour, label=f"{name} ({at_list:.1%} at list size)")
    axes.plot([0, 1], [0, 1], color=QUIET, linestyle="--", label=f"at random ({list_share:.1%})")
    axes.axvline(list_share, color="black", linestyle=":", label=f"list size: {list_share:.1%}")
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="share of active customers contacted")
    axes.set_ylabel("share of churned customers among them")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(loc="lower right", frameon=False)
    note(axes, f"{len(label):,} test rows, {int(np.sum(label)):,} churned")
    return png(figure)


def families(importance: pd.Series) -> bytes:
    """Mean |contribution| by family of features, the weightiest on top.

    `importance` has one value per family, in log-odds.
    """
    ordered = importance.sort_values(kind="stable").tail(20)
    figure, axes = blank("What the model looks at", height=1.6 + 0.36 * len(ordered))
    axes.barh([str(n).replace("_", " ") for n in ordered.index], ordered.to_numpy(), color=MODEL)
    axes.set_xlabel("mean size of the contribution to the risk (log-odds)")
    axes.grid(axis="x", color="#e3e3e3")
    for place, value in enumerate(ordered):
        axes.annotate(f" {value:.2f}", (value, place), va="center", fontsize=9)
    axes.margins(x=0.1)
    return png(figure)


def _percent(top: float) -> PercentFormatter:
    return PercentFormatter(1, decimals=0 if top > 0.1 else 1)
