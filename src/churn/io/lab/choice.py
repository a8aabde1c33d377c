"""The choice of a churn definition as people read it: a table in Markdown, and a picture."""

from io import BytesIO

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from churn.features.candidates import MOST_RETURN, Candidates, Choice
from churn.io.canvas import MODEL, QUIET, RIVAL, STYLE


def text(found: pd.DataFrame, choice: Choice | None, asked: Candidates) -> str:
    """The candidates and the recommendation with its reasons, as Markdown."""
    lines = [
        "| active_days | horizon_days | snapshots | active | churn | lowest | highest | come back | "
        "label known after |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in found.to_dict("records"):
        pair = (int(row["active_days"]), int(row["horizon_days"]))
        mark = " ←" if choice and pair == (choice.active_days, choice.horizon_days) else ""
        shares = [
            "–" if np.isnan(row[name]) else f"{row[name]:.1%}"
            for name in ("churn", "lowest", "highest", "back")
        ]
        cells = [*pair, row["n_snapshots"], f"{row['n_active']:,.0f}", *shares]
        after = f"{row['known_after_days']} days{mark}"
        lines.append("| " + " | ".join(map(str, [*cells, after])) + " |")
    return "\n".join([*lines, "", *_advice(choice, asked)]) + "\n"


def _advice(choice: Choice | None, asked: Candidates) -> list[str]:
    if choice is None:
        return [
            f"No recommendation: the log is too short to see who comes back within "
            f"{asked.return_days} days (define.return_days)."
        ]
    words = f"churn=inactivity churn.active_days={choice.active_days} "
    words += f"churn.horizon_days={choice.horizon_days}"
    words += f" churn.gap_days={asked.gap_days}" if asked.gap_days else ""
    return [f"Recommended: {words}", *(f"- {reason}" for reason in choice.reasons)]


def picture(
    curve: pd.DataFrame, by_snapshot: pd.DataFrame, choice: Choice | None, asked: Candidates
) -> bytes:
    """Who comes back after how long a silence, and the base rate over time, as PNG bytes."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 7.6), layout="constrained")
        FigureCanvasAgg(figure)
        above, below = figure.subplots(2, 1)
        _draw_return(above, curve, choice, asked)
        _draw_rates(below, by_snapshot, choice)
        target = BytesIO()
        figure.savefig(target, format="png", dpi=110, metadata={"Software": None})
    return target.getvalue()


def _draw_return(axes: Axes, curve: pd.DataFrame, choice: Choice | None, asked: Candidates) -> None:
    axes.set_title("After how long a silence do customers still come back?")
    axes.plot(curve["silent_days"], curve["share"], color=MODEL)
    axes.axhline(MOST_RETURN, color=QUIET, linestyle=":")
    axes.axhline(asked.max_returning, color=QUIET, linestyle=":")
    if choice is not None:
        for days, name, colour in (
            (choice.active_days, "active_days", MODEL),
            (choice.horizon_days, "horizon_days", RIVAL),
        ):
            axes.axvline(days, color=colour, linestyle="--", label=f"{name}={days}")
        axes.legend(frameon=False)
    axes.set(xlim=(0, None), ylim=(0, 1), xlabel="days without a qualifying event")
    axes.set_ylabel(f"share back within {asked.return_days} days")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _draw_rates(axes: Axes, by_snapshot: pd.DataFrame, choice: Choice | None) -> None:
    """Base rate by snapshot, one line per horizon, for the active of the recommendation."""
    active = choice.active_days if choice else by_snapshot["active_days"].min()
    axes.set_title(f"Share that churns, by snapshot (active_days={active})")
    for horizon, part in by_snapshot[by_snapshot["active_days"] == active].groupby("horizon_days"):
        share = part["n_churned"] / part["n_active"].clip(lower=1)
        mine = choice is not None and horizon == choice.horizon_days
        axes.plot(
            pd.to_datetime(part["snapshot"]),
            share,
            marker=".",
            color=RIVAL if mine else QUIET,
            linewidth=2.5 if mine else 1,
            label=f"{horizon} days" if mine else None,
        )
        last = pd.to_datetime(part["snapshot"]).iloc[-1]
        axes.annotate(f" {horizon} d", (last, share.iloc[-1]), va="center", fontsize=9)
    axes.set_ylim(0, None)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
