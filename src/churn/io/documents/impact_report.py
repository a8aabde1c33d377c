"""What contacting has changed, as the head of CS reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from churn.io import canvas, wording
from churn.io.lab import model_card
from churn.proof import sequences
from churn.proof.effects import Effect
from churn.proof.impact import Look, Prospect

ALARM = 1 / sequences.SRM_LEVEL


@dataclass(frozen=True)
class Findings:
    """Everything that one report says; `looks` are weekly, the last one is of `as_of`.

    `first_answer` is the first day on which anybody is settled.
    """

    as_of: date
    effect_days: int
    currency: str
    looks: list[Look]
    first_answer: date
    prospect: Prospect
    reconciled: pd.DataFrame
    segments: list[tuple[str, Look]]
    n_assigned: int
    n_waiting: int
    recorded_share: float
    contacted_share: float


def text(found: Findings) -> str:
    """The report as Markdown."""
    parts = [
        f"# What the retention list has changed, {wording.day(found.as_of)}",
        "\n".join(f"- {line}" for line in lines(found)),
    ]
    if found.looks:
        parts += [
            "## Expected and lost\n\n" + "\n".join(_reconciled(found)),
            "## Week by week\n\n" + "\n".join(_history(found)),
        ]
    if len(found.segments) > 1:
        parts.append("## By segment\n\n" + "\n".join(_segments(found)))
    parts.append(_how(found))
    return "\n\n".join(parts) + "\n"


def lines(found: Findings) -> list[str]:
    """The findings in plain words, the most important first."""
    said = [_alarm(found), *_effects(found), *_harmed(found), _prospect(found), _lost(found)]
    return [line for line in said if line]


def _effects(found: Findings) -> list[str]:
    now = found.looks[-1] if found.looks else None
    if now is None or now.listing is None:
        day = max(found.first_answer, found.as_of)
        waits = (
            f"{found.n_assigned:,} customers are assigned, {found.n_waiting:,} of them not settled"
        )
        return [f"Too early: first answer possible on {wording.day(day)}. {waits}."]
    said = [_effect(now.listing, "Being listed", of="listed customers")]
    if now.contact is None:
        said.append("Nothing can be said of contacts: nobody has recorded one (`churn outcomes`).")
    else:
        said.append(_effect(now.contact, "Being contacted", of="contacted customers"))
        said[-1] += (
            f" CS recorded a contact with {100 * found.contacted_share:.0f} % of the listed and no answer"
            f" for {100 * (1 - found.recorded_share):.0f} %, who count as not contacted."
        )
    if now.revenue_listing is not None:
        said.append(_revenue(now, found.currency))
    return said


def _effect(effect: Effect, what: str, *, of: str) -> str:
    kept = f"{what} kept {100 * effect.value:+.1f} of 100 {of} from leaving"
    if effect.low is None or effect.high is None:
        return f"{kept}; the interval has no bounds yet. Not proven."
    within = f"95 % interval {100 * effect.low:+.1f} to {100 * effect.high:+.1f}"
    verdict = {
        1: "It helps: this is proven.",
        0: "Not proven: it may as well be nothing.",
        -1: "It drives customers away: this is proven. Stop and look.",
    }[effect.claims]
    return f"{kept} ({within}). {verdict}"


def _revenue(now: Look, currency: str) -> str:
    effect = now.revenue_listing
    assert effect is not None
    assert effect.low is not None
    assert effect.high is not None
    n, money = now.n_listed, [effect.value, effect.low, effect.high]
    total, low, high = (wording.money(round(n * value), currency) for value in money)
    return (
        f"Revenue saved by the lists so far: {total} a year ({low} to {high}), over {n:,} listed customers "
        "who are settled. " + ("Proven." if effect.claims > 0 else "Not proven.")
    )


def _alarm(found: Findings) -> str:
    if not found.looks or max(look.arms_e_value for look in found.looks) < ALARM:
        return ""
    return (
        "ALARM: customers are not held out with the planned chances (e-value "
        f"{max(look.arms_e_value for look in found.looks):,.0f}; above {ALARM:,.0f} is no accident). No "
        "figure below can be trusted. Has CHURN_HOLDOUT_KEY changed, or a list been edited by hand?"
    )


def _harmed(found: Findings) -> list[str]:
    return [
        f"Leave {name} alone: there more customers left because they were listed "
        f"({_points(look.listing)} of 100)."
        for name, look in found.segments
        if look.listing is not None and look.listing.claims < 0
    ]


def _prospect(found: Findings) -> str:
    ahead = found.prospect
    dates = [
        "not within ten years" if day is None else f"by {wording.day(day)}"
        for day in (ahead.visible_on, ahead.with_pilot_on)
    ]
    today = f"the smallest effect visible today is {100 * min(ahead.smallest, 1):.0f} points; "
    has_answer = bool(found.looks) and found.looks[-1].listing is not None
    return (
        f"With a chance of 80 %, {today if has_answer else ''}one of {100 * ahead.target:.0f} points "
        f"will be visible {dates[0]} at this pace ({dates[1]} if all who come were drawn with one half: "
        "retain.pilot)."
    )


def _lost(found: Findings) -> str:
    total = found.reconciled.drop(columns="arm").sum()
    if not total["customers"]:
        return ""
    counts = (
        f"Of {total['customers']:,.0f} settled customers {total['expected']:.0f} were expected to leave "
        f"and {total['left']:.0f} left"
    )
    if not total["at_risk"]:
        return f"{counts}."
    at_risk, lost = (
        wording.money(round(total[name]), found.currency) for name in ("at_risk", "lost")
    )
    return f"{counts}; {at_risk} a year was at risk and {lost} was lost."


def _points(effect: Effect | None) -> str:
    if effect is None:
        return "–"
    value = f"{100 * effect.value:+.1f}"
    if effect.low is None or effect.high is None:
        return f"{value} (no bounds)"
    return f"{value} ({100 * effect.low:+.1f} to {100 * effect.high:+.1f})"


def _reconciled(found: Findings) -> list[str]:
    heads = ["", "customers", "expected to leave", "left", "at risk a year", "lost a year"]
    names = {"contact": "listed", "holdout": "held out"}
    rows = [
        [
            names[row["arm"]],
            f"{row['customers']:,.0f}",
            f"{row['expected']:.1f}",
            f"{row['left']:,.0f}",
            wording.money(round(row["at_risk"]), found.currency),
            wording.money(round(row["lost"]), found.currency),
        ]
        for row in found.reconciled.to_dict("records")
    ]
    return model_card.aligned([heads, *rows])


def _history(found: Findings) -> list[str]:
    heads = [
        "look",
        "listed",
        "held out",
        "kept by being listed",
        "by being contacted",
        "e-value",
    ]
    rows = [
        [
            look.on.isoformat(),
            f"{look.n_listed:,}",
            f"{look.n_held_out:,}",
            _points(look.listing),
            _points(look.contact),
            f"{look.arms_e_value:.2g}",
        ]
        for look in reversed(found.looks)
    ]
    return model_card.aligned([heads, *rows])


def _segments(found: Findings) -> list[str]:
    heads = ["segment", "listed", "held out", "kept by being listed"]
    rows = [
        [name, f"{look.n_listed:,}", f"{look.n_held_out:,}", _points(look.listing)]
        for name, look in found.segments
    ]
    return model_card.aligned([heads, *rows])


def _how(found: Findings) -> str:
    return (
        "## How to read this\n\n"
        f"A customer is judged by whether they left in the {found.effect_days} days after they first "
        "qualified. Some who qualify are held out at random and never shown to anybody: what they "
        "lost, minus what the listed lost, is what the list did, in customers of 100. Intervals hold at "
        "every weekly look together (so they may be read every week), and for all segments together. "
        "The effect of being contacted is that of being listed, divided by how many more of the listed "
        "were contacted. Values above the 99th percentile count as that much in the effect on revenue, "
        "not in what was lost."
    )


def picture(found: Findings) -> bytes:
    """The effect of being listed at every look with its interval, as PNG."""
    looks = [look for look in found.looks if look.listing is not None]
    days = np.array([look.on for look in looks], dtype="datetime64[D]")
    effects = [look.listing for look in looks if look.listing is not None]
    value, low, high = (
        [100 * (getattr(effect, name) or 0.0) for effect in effects]
        for name in ("value", "low", "high")
    )
    figure, axes = canvas.blank("Kept by being listed, of 100", height=3.6)
    axes.fill_between(days, low, high, color=canvas.MODEL, alpha=0.18, linewidth=0)
    axes.plot(days, value, color=canvas.MODEL, marker="o", markersize=3)
    axes.axhline(0, color=canvas.QUIET, linewidth=1)
    axes.set_ylim(max(-60, min(low)), min(60, max(high)))
    axes.xaxis.set_major_formatter(ConciseDateFormatter(AutoDateLocator()))
    return canvas.png(figure)


def table(looks: Sequence[Look]) -> pd.DataFrame:
    """One row per look and effect: look, effect, n_listed, n_held_out, value, low, high,
    standard_error, arms_e_value; per customer, revenue in currency a year."""
    names = ("listing", "contact", "revenue_listing", "revenue_contact")
    rows: list[dict[str, Any]] = []
    for look in looks:
        for name in names:
            effect: Effect | None = getattr(look, name)
            rows.append(
                {
                    "look": look.on,
                    "effect": name,
                    "n_listed": look.n_listed,
                    "n_held_out": look.n_held_out,
                    "value": effect.value if effect else None,
                    "low": effect.low if effect else None,
                    "high": effect.high if effect else None,
                    "standard_error": effect.standard_error if effect else None,
                    "arms_e_value": look.arms_e_value,
                }
            )
    numbers = ["value", "low", "high", "standard_error", "arms_e_value"]
    columns = ["look", "effect", "n_listed", "n_held_out", *numbers]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(numbers, float))
