"""What the gates found, for people: a page for each run with every figure over time, and MLflow."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from churn.io import canvas, tables, wording
from churn.io.lab import model_card, store, tracking
from churn.io.weekly import gates, past_weeks
from churn.io.weekly.past_weeks import Week
from churn.settings import Settings
from churn.usage import quality
from churn.usage.quality import Verdict

log = logging.getLogger("churn")

N_WEEKS = 52
"""How far back the pictures reach."""

FIGURES = {
    "n_rows": "Rows of the week",
    "n_scored": "Customers scored",
    "mean_risk": "Mean risk",
    "expected_auc": "ROC AUC to expect",
    "n_listed": "Customers on the list",
}
GATES = {
    "volume": "Rows of the week / usual week",
    "scores": "PSI of the risks",
    "features": "Share of the contributions from features that shifted",
    "calibration": "Predicted / actual churn of matured scores",
}
OUTCOMES = {
    quality.PASSED: "passed",
    quality.HELD: "HELD BACK",
    quality.NOT_ARRIVED: "NOT HERE YET",
    quality.UNKNOWN: "nothing to compare with yet",
}


def keep(settings: Settings, week: Week) -> None:
    """Remember `week`, write `WORKSPACE/quality/<as_of>.html` and log its figures in MLflow.

    A store that is down changes nothing here: what it did not take is delivered later.
    """
    past = past_weeks.before(settings.place, week.as_of, n=N_WEEKS)
    past_weeks.keep(settings.place, week)
    told = text(week)
    html = model_card.page(told, pictures([week, *past])).encode()
    tables.write_bytes(past_weeks.folder(settings.place) / f"{week.as_of}.html", html)
    for one in week.verdicts:
        if one.outcome not in (quality.PASSED, quality.UNKNOWN):
            log.warning("gate %s: %s", one.gate, _outcome(one))
    where = store.of(settings)
    tracking.note(
        replace(where, experiment=f"{where.experiment}-weekly"),
        name=f"weekly {week.as_of}",
        parameters={"as_of": week.as_of.isoformat(), "model_version": week.model_version},
        figures=_figures(week),
        description=told,
        files={"quality.html": html},
    )


def text(week: Week) -> str:
    """The report as Markdown: the outcome in a sentence, every gate, the features that moved most."""
    stops = [one for one in week.verdicts if one.stops]
    outcome = (
        f"Held back by {', '.join(one.gate for one in stops)}: last week's list stays."
        if stops
        else "Every gate let the list pass."
    )
    told = [one for one in week.verdicts if one.is_accepted]
    if told:
        outcome += f" A person overruled {', '.join(one.gate for one in told)}."
    to_do = "\n".join(f"- {one.gate}: {one.next_step}" for one in stops)
    parts = [
        f"# Quality of the week, {wording.day(week.as_of)}",
        outcome,
        to_do,
        _table(week.verdicts),
    ]
    return "\n\n".join([part for part in [*parts, *_moved(week.moved)] if part]) + "\n"


def _table(verdicts: Sequence[Verdict]) -> str:
    heads = ["gate", "measured", "figure", "expected", "outcome"]
    rows = [
        [
            one.gate,
            one.measured,
            "–" if one.figure is None else gates.found(one),
            "–" if one.low is None and one.high is None else gates.band(one),
            _outcome(one),
        ]
        for one in verdicts
    ]
    return "## Gates\n\n" + "\n".join(model_card.aligned([heads, *rows]))


def _outcome(one: Verdict) -> str:
    return OUTCOMES[one.outcome] + (" (overruled)" if one.is_accepted else "")


def _moved(moved: Mapping[str, float]) -> list[str]:
    """The features that moved most, against the nearest of the weeks before."""
    if not moved:
        return []
    rows = [[name, f"{index:.3f}"] for name, index in moved.items()]
    table = "\n".join(model_card.aligned([["feature", "PSI"], *rows]))
    return [f"## Features that moved most, against the nearest of the weeks before\n\n{table}"]


def pictures(weeks: Sequence[Week]) -> dict[str, bytes]:
    """Each figure over time as PNG, by file name; those with at least two weeks. Weeks that were held
    back are hollow."""
    found = {}
    for name, title in (FIGURES | GATES).items():
        points = pd.DataFrame(
            [
                (week.as_of, figure, any(one.stops for one in week.verdicts))
                for week in weeks
                if (figure := _figures(week).get(name)) is not None
            ],
            columns=["as_of", "figure", "is_held"],
        ).sort_values("as_of")
        if len(points) >= 2:
            found[f"{name}.png"] = _picture(title, points)
    return found


def _figures(week: Week) -> dict[str, float]:
    by_gate = {one.gate: one.figure for one in week.verdicts if one.figure is not None}
    return by_gate | week.figures


def _picture(title: str, points: pd.DataFrame) -> bytes:
    figure, axes = canvas.blank(title, height=2.4)
    days = pd.to_datetime(points["as_of"])
    axes.plot(days, points["figure"], color=canvas.MODEL, linewidth=1.2)
    for is_held, face in ((False, canvas.MODEL), (True, "white")):
        chosen = (points["is_held"] == is_held).to_numpy()
        axes.plot(
            days[chosen],
            points.loc[chosen, "figure"],
            "o",
            color=canvas.MODEL,
            markerfacecolor=face,
        )
    axes.set_ylim(0, 1.15 * max(float(points["figure"].max()), 1e-9))
    axes.xaxis.set_major_formatter(ConciseDateFormatter(AutoDateLocator()))
    return canvas.png(figure)
