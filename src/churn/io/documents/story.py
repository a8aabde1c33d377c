"""One customer's story as a picture: what they did week by week, and what happened around it."""

from collections.abc import Mapping
from datetime import date
from io import BytesIO

import matplotlib
import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from churn.io.canvas import MODEL, QUIET, RIVAL, STYLE

N_ROWS = 12
"""Event types with a row of their own; the rarer ones are in the bars only."""


def weeks(events: pd.DataFrame, *, as_of: date) -> pd.DataFrame:
    """Events per week before `as_of` and event type: weeks (by their first day) × types.

    `events`: one row per day and event type with `day`, `event`, `n`. Weeks end the day before
    `as_of`; those without events are there too.
    """
    end = pd.Timestamp(as_of)
    seen = events[events["day"] < end]
    age_weeks = (end - seen["day"]).dt.days.sub(1).floordiv(7).add(1)
    counted = seen.assign(week=end - pd.to_timedelta(7 * age_weeks, unit="D")).pivot_table(
        index="week", columns="event", values="n", aggfunc="sum", fill_value=0
    )
    if counted.empty:
        return counted
    whole = pd.date_range(counted.index.min(), end - pd.Timedelta(days=7), freq="7D", name="week")
    busiest = counted.sum().sort_values(ascending=False, kind="stable").index
    return counted.reindex(whole, fill_value=0)[busiest]


def timeline(counts: pd.DataFrame, *, title: str, dates: Mapping[str, date], as_of: date) -> bytes:
    """A PNG: events per week above, one row of dots per event type below, `dates` as lines.

    `counts` as from `weeks`; a dot's area grows with the number of events.
    """
    shown = counts.iloc[:, :N_ROWS]
    with matplotlib.rc_context(STYLE):
        height = 3.6 + 0.27 * shown.shape[1]
        figure = Figure(figsize=(10, height), layout="constrained")
        FigureCanvasAgg(figure)
        ratios = [2.6, max(0.27 * shown.shape[1], 0.3)]
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=ratios)
        middles = pd.DatetimeIndex(shown.index) + pd.Timedelta(days=3.5)
        above.bar(middles, counts.sum(axis=1), width=5.6, color=MODEL)
        above.set_title(title, pad=26)
        above.set_ylabel("events a week")
        _dots(below, shown, middles)
        _lines(above, below, {**dates, "list": as_of})
        below.xaxis.set_major_locator(mdates.MonthLocator())
        below.xaxis.set_major_formatter(mdates.ConciseDateFormatter(mdates.MonthLocator()))
        target = BytesIO()
        figure.savefig(target, format="png", dpi=100, metadata={"Software": None})
    return target.getvalue()


def _dots(axes: Axes, counts: pd.DataFrame, middles: pd.Index) -> None:
    """One row per event type, the busiest on top; each row is scaled to its own busiest week."""
    top = np.maximum(counts.to_numpy().max(axis=0, initial=0), 1)
    for row, event in enumerate(counts.columns):
        share = counts[event].to_numpy() / top[row]
        colour = RIVAL if top[row] <= 3 else MODEL
        axes.scatter(middles, np.full(len(middles), row), s=70 * share, color=colour, alpha=0.75)
    axes.set_yticks(range(counts.shape[1]), [str(name) for name in counts.columns], fontsize=9)
    axes.set_ylim(counts.shape[1] - 0.5, -0.7)
    axes.grid(axis="y", color="#eeeeee")
    axes.tick_params(axis="y", length=0)


def _lines(above: Axes, below: Axes, dates: Mapping[str, date]) -> None:
    """Dated lines through both pictures, named on top; names too close to each other go higher."""
    low, high = above.get_xlim()
    last = -np.inf
    for name, day in sorted(dates.items(), key=lambda item: item[1]):
        place = float(mdates.date2num(day))
        if not low <= place <= high + 30:
            continue
        for axes in (above, below):
            axes.axvline(place, color=QUIET, linestyle="--", linewidth=1)
        is_close = place - last < 45
        above.annotate(
            f"{name} {day.day} {day:%b}",
            (place, 1),
            (0, 15 if is_close else 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color="#555555",
        )
        last = -np.inf if is_close else place
