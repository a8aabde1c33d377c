"""Contributions → one sentence per family with the customer's own numbers and dates."""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from sqlglot import exp, parse_one

from churn.errors import ConfigurationError, nearest
from churn.features.definitions import Feature, check_expression

MAX_LENGTH = 140
MIN_CONTRIBUTION = 0.05
"""In log-odds: a family that moves the odds by less than 5 % does not speak."""

DROP_DAYS = 70
"""A drop is looked for in the last ten weeks."""


@dataclass(frozen=True)
class Template:
    """One sentence of a voice: said in `direction` (raises, lowers) where SQL `when` is true."""

    voice: str
    direction: str
    when: str
    say: str


@dataclass(frozen=True)
class Language:
    """The sentences of one language: `voices` maps a voice to the families it speaks for."""

    voices: Mapping[str, Sequence[str]]
    templates: Sequence[Template]
    months: Sequence[str]
    units: Mapping[str, Sequence[str]]
    nothing: str


def language(document: Mapping[str, Any], *, file: str) -> Language:
    """A parsed sentence file (conf/explain/sentences) as a `Language`; unknown parts are refused."""
    voices, templates = {}, []
    for voice, entry in document["voices"].items():
        voices[voice] = list(entry["families"])
        for direction in ("raises", "lowers"):
            for line in entry.get(direction, []):
                check_expression(file, 1, line["when"])
                templates.append(Template(voice, direction, line["when"], line["say"]))
    return Language(voices, templates, document["months"], document["units"], document["nothing"])


def with_own(said: Language, features: Sequence[Feature]) -> Language:
    """`said`, with a voice for every family that no voice speaks for: its first feature with a value,
    in the words of the definition. So a user's own feature is heard without a sentence of its own."""
    known = {family for families in said.voices.values() for family in families}
    own = [item for item in features if item.family not in known]
    templates = [
        Template(item.family, direction, f'NOT "{item.name}" IS NULL', _plainly(item))
        for item in own
        for direction in ("raises", "lowers")
    ]
    voices = {item.family: [item.family] for item in own}
    return replace(said, voices={**said.voices, **voices}, templates=[*said.templates, *templates])


def _plainly(item: Feature) -> str:
    words = item.sentence.replace("{", "{{").replace("}", "}}")
    return f"{words}: {{{item.name}:{'one' if item.kind == 'number' else 'text'}}}."


def drop_began_days(activity: np.ndarray) -> np.ndarray:
    """How many days ago the present drop in activity began, per customer; 0 where there is none.

    `activity`: (customers, days) of 0/1, the day before the snapshot first. The usual rate is that
    of days 15 to 70, the present one that of days 1 to 14. The start is where the sum of (midway
    rate - activity) from that day to now is greatest: the CUSUM estimate of a change point (Page
    1954, "Continuous inspection schemes").
    """
    window = activity[:, :DROP_DAYS].astype(float)
    now, usual = window[:, :14].mean(axis=1), window[:, 14:].mean(axis=1)
    excess = np.cumsum((now + usual)[:, None] / 2 - window, axis=1)
    return np.where(now < usual, excess.argmax(axis=1) + 1, 0)


def matches(said: Language, columns: Sequence[str]) -> exp.Expr:
    """Table `facts` → customer_id and a column t_<i> (0/1) per template: may it be said?

    Templates that read a column which the model does not have are never said.
    """
    tests = []
    for place, template in enumerate(said.templates):
        names = {column.name for column in _parsed(template.when).find_all(exp.Column)}
        names |= set(_fields(template.say))
        test = f"CASE WHEN {template.when} THEN 1 ELSE 0 END" if names <= set(columns) else "0"
        tests.append(f"{test} AS t_{place}")
    return _parsed(f"SELECT customer_id, {', '.join(tests)} FROM facts ORDER BY customer_id")


def by_voice(contributions: pd.DataFrame, said: Language) -> pd.DataFrame:
    """Contributions by family (customers × families, log-odds) summed by voice."""
    return pd.DataFrame(
        {
            voice: contributions[[name for name in families if name in contributions]].sum(axis=1)
            for voice, families in said.voices.items()
        }
    )


def sentences(
    voices: pd.DataFrame,
    facts: pd.DataFrame,
    said: Language,
    *,
    matching: pd.DataFrame,
    as_of: date,
) -> pd.DataFrame:
    """The reasons of each customer: customer_id, rank, family, direction, contribution, sentence.

    `voices`: customers × voices (log-odds), `facts` the customer's numbers, `matching` from
    `matches`; all indexed by customer_id. Each voice speaks at most once, in the direction of its
    contribution, with the first template that may be said; order by strength.
    """
    rows = []
    numbers, allowed = _by_customer(facts), _by_customer(matching)
    for customer, strengths in zip(map(str, voices.index), voices.to_dict("records"), strict=True):
        spoken = 0
        loudest = sorted(strengths.items(), key=lambda item: -abs(item[1]))
        for voice, strength in loudest:
            direction = "raises" if strength > 0 else "lowers"
            template = _said(said, str(voice), direction, allowed[customer])
            if template is None or abs(strength) < MIN_CONTRIBUTION:
                continue
            spoken += 1
            sentence = worded(template.say, numbers[customer], said, as_of=as_of)
            rows.append((customer, spoken, voice, direction, strength, sentence))
    columns = ["customer_id", "rank", "family", "direction", "contribution", "sentence"]
    return pd.DataFrame(rows, columns=columns)


def worded(template: str, facts: Mapping[str, Any], said: Language, *, as_of: date) -> str:
    """`template` with the customer's numbers: `{recency_days:date}` is that many days before as_of.

    Formats: whole, one (decimal), percent, money, date (days ago), ahead (days from now), text, and
    a unit of the language for a count with its noun.
    """
    parts = []
    for literal, name, spec, _ in string.Formatter().parse(template):
        parts.append(literal)
        if name is not None:
            parts.append(_formatted(facts[name], spec or "text", said, as_of))
    sentence = "".join(parts)
    return sentence if len(sentence) <= MAX_LENGTH else sentence[: MAX_LENGTH - 1] + "…"


def _formatted(value: Any, spec: str, said: Language, as_of: date) -> str:
    if spec in ("date", "ahead"):
        day = as_of + timedelta(days=int(value) * (1 if spec == "ahead" else -1))
        year = f" {day.year}" if abs((day - as_of).days) > 300 else ""
        return f"{day.day} {said.months[day.month - 1]}{year}"
    if spec in said.units:
        number = round(float(value))
        return f"{number:,} {said.units[spec][0 if number == 1 else 1]}"
    formats = {
        "whole": lambda: f"{round(float(value)):,}",
        "one": lambda: f"{float(value):.1f}".removesuffix(".0"),
        "percent": lambda: f"{float(value):.0%}",
        "money": lambda: f"{float(value):,.0f}",
        "text": lambda: str(value),
    }
    if spec not in formats:
        known = ["date", "ahead", *formats, *said.units]
        raise ConfigurationError(
            "a sentence uses a format that does not exist",
            got=spec,
            expected=nearest(spec, known),
            next_step="mend the sentence in conf/explain/sentences",
        )
    return formats[spec]()


def _by_customer(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The rows of `frame`, indexed by customer, as dicts."""
    return dict(zip(map(str, frame.index), _records(frame), strict=True))


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _said(
    said: Language, voice: str, direction: str, matching: Mapping[str, int]
) -> Template | None:
    for place, template in enumerate(said.templates):
        if (template.voice, template.direction) == (voice, direction) and matching[
            f"t_{place}"
        ] == 1:
            return template
    return None


def _fields(template: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(template) if name]


def _parsed(text: str) -> exp.Expr:
    return parse_one(text, dialect="duckdb")
