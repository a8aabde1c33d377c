"""Numbers, dates and strangers' texts as people read them, in every file that they open."""

import math
from datetime import date, datetime
from typing import Any

import pandas as pd

from churn.io.unseen import BREAKS, UNSEEN, spelled

DASH = "–"
"""What stands where a value is missing."""

NBSP = "\u00a0"
"""Keeps a number and its unit on one line."""

SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£"}
"""Currencies whose sign is beyond doubt; all others are written as their code."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def missing(value: object) -> bool:
    """Whether there is nothing to show: None, NaN, NaT, infinite, or a blank text."""
    if value is None or value is pd.NaT or value is pd.NA:
        return True
    if isinstance(value, str):
        return not value.strip()
    return not isinstance(value, date) and not math.isfinite(value)  # type: ignore[arg-type]


def visible(text: str) -> str:
    """`text` on one line with every character that is invisible or turns the direction spelled out.

    A name with U+202E would otherwise be read backwards, one with U+200B look like another's.
    Joiners stay: emoji and Persian need them.

    >>> visible("Acme\\u202egnp.exe")
    'Acme[U+202E]gnp.exe'
    """
    return UNSEEN.sub(spelled, BREAKS.sub(" ", text))


def text(value: object) -> str:
    """Any value as people read it; a whole number that pandas keeps as a float has no point."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return DASH if missing(value) else visible(str(value))


def day(value: Any) -> str:
    """A date as `5 Jan 2026`, whatever the locale of the machine."""
    moment = as_date(value)
    return DASH if moment is None else f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def as_date(value: Any) -> date | None:
    """The calendar date in a date, timestamp or ISO text; None where there is none."""
    if missing(value):
        return None
    if isinstance(value, str):
        return date.fromisoformat(value.strip()[:10])
    return value.date() if isinstance(value, datetime) else value


def percent(share: Any) -> str:
    """A share with the digits that mean something: `34 %`, `3.4 %`, never a certain 0 or 100 %."""
    if missing(share):
        return DASH
    hundredth = 100 * float(share)
    if hundredth >= 99.5:
        return f">99{NBSP}%"
    if hundredth < 0.05:
        return f"<0.1{NBSP}%"
    return f"{hundredth:.0f}{NBSP}%" if hundredth >= 9.95 else f"{hundredth:.1f}{NBSP}%"


def points(change: Any) -> str:
    """A change of a share: `+6 points`, `−1 point`; nothing when it rounds to nought."""
    if missing(change) or round(100 * float(change)) == 0:
        return ""
    figure = f"{100 * float(change):+.0f}"
    return f"{figure} point{'s' if figure[1:] != '1' else ''}".replace("-", "−")


def sign(currency: Any) -> str:
    """What stands before an amount: `€`, `CHF `, or nothing where there is no currency."""
    code = "" if missing(currency) else visible(str(currency)).strip()[:8]
    return SYMBOLS.get(code, f"{code}{NBSP}" if code else "")


def money(amount: Any, currency: Any) -> str:
    """An amount with its currency: `€1,234`, `CHF 1,234`; cents only below 100."""
    if missing(amount):
        return DASH
    value = float(amount)
    figure = f"{abs(value):,.0f}" if abs(value) >= 99.995 or value == 0 else f"{abs(value):,.2f}"
    return f"{'−' if value < 0 else ''}{sign(currency)}{figure}"


def times(ratio: Any) -> str:
    """How many times the average: `10×`, `2.4×`."""
    if missing(ratio):
        return DASH
    return f"{float(ratio):.0f}×" if float(ratio) >= 9.95 else f"{float(ratio):.1f}×"
