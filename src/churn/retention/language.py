"""Sentences as templates: which of them may be said of a customer, and how they read with numbers."""

import string
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pandas as pd
from sqlglot import exp, parse_one

from churn.errors import ConfigurationError, nearest
from churn.features.definitions import Feature, check_expression

MAX_LENGTH = 140

RAISES, LOWERS = "raises", "lowers"

CONTRACT, TERM_END = "contract", "term_end"
"""A family of features, and what of it is about a long term that ends within the eight weeks by whose
risk a list is ordered. Beyond the horizon only `models.of_term_end` knows of that."""


@dataclass(frozen=True)
class Template:
    """One sentence of a voice: said in `direction` (raises, lowers) where SQL `when` is true."""

    voice: str
    direction: str
    when: str
    say: str


@dataclass(frozen=True)
class Language:
    """The sentences of one language: `voices` maps a voice to the families it speaks for.

    `nothing` is said of who has no single reason, `evidence` of how customers with a reason fared
    (fields lift, lead_time_days), `evidence_undated` where nobody knows when they left. `names` are
    voices inside a sentence; `what_if` (voices, before, risk) says what would take a customer off the
    list, `what_if_not` (before, best) that nothing would; `conjunction` joins the last two.
    """

    voices: Mapping[str, Sequence[str]]
    templates: Sequence[Template]
    months: Sequence[str]
    units: Mapping[str, Sequence[str]]
    nothing: str
    evidence: str
    evidence_undated: str
    what_if: str
    what_if_not: str
    conjunction: str
    names: Mapping[str, str]

    @property
    def late(self) -> list[str]:
        """The voices that speak of eight weeks and not of the horizon."""
        return [voice for voice, families in self.voices.items() if TERM_END in families]

    def without(self, voices: Collection[str]) -> "Language":
        """The same of which `voices` say nothing."""
        left = {name: families for name, families in self.voices.items() if name not in voices}
        templates = [one for one in self.templates if one.voice in left]
        return replace(self, voices=left, templates=templates)


def language(document: Mapping[str, Any], *, file: str) -> Language:
    """A parsed sentence file (conf/explain/sentences) as a `Language`; unknown parts are refused."""
    voices, templates = {}, []
    for voice, entry in document["voices"].items():
        voices[voice] = list(entry["families"])
        for direction in (RAISES, LOWERS):
            for line in entry.get(direction, []):
                check_expression(file, 1, line["when"])
                templates.append(Template(voice, direction, line["when"], line["say"]))
    return Language(
        voices, templates, conjunction=document["and"], **{name: document[name] for name in _PLAIN}
    )


_PLAIN = (
    "months",
    "units",
    "nothing",
    "evidence",
    "evidence_undated",
    "what_if",
    "what_if_not",
    "names",
)


def with_own(said: Language, features: Sequence[Feature]) -> Language:
    """`said`, with a voice for every family that no voice speaks for: its first feature with a value,
    in the words of the definition. So a user's own feature is heard without a sentence of its own."""
    known = {family for families in said.voices.values() for family in families}
    own = [item for item in features if item.family not in known]
    templates = [
        Template(item.family, direction, f'NOT "{item.name}" IS NULL', _plainly(item))
        for item in own
        for direction in (RAISES, LOWERS)
    ]
    # a family may be called as a voice is: then it is one of those that the voice speaks for
    voices = {item.family: [*said.voices.get(item.family, ()), item.family] for item in own}
    return replace(said, voices={**said.voices, **voices}, templates=[*said.templates, *templates])


def _plainly(item: Feature) -> str:
    words = item.sentence.replace("{", "{{").replace("}", "}}")
    return f"{words}: {{{item.name}:{'one' if item.kind == 'number' else 'text'}}}."


def matches(said: Language, columns: Sequence[str]) -> exp.Expr:
    """Table `facts` → a column t_<i> (0/1) per template: may it be said? Rows by `facts.place`.

    A template that reads a column which the model does not have is never said, and none of whom a
    number is missing that it would put into words.
    """
    tests = []
    for place, template in enumerate(said.templates):
        names = {column.name for column in _parsed(template.when).find_all(exp.Column)}
        needed = dict.fromkeys(fields(template.say))
        there = " ".join(f'AND NOT "{name}" IS NULL' for name in needed)
        is_possible = names | set(needed) <= set(columns)
        test = f"CASE WHEN ({template.when}) {there} THEN 1 ELSE 0 END" if is_possible else "0"
        tests.append(f"{test} AS t_{place}")
    return _parsed(f"SELECT {', '.join(tests)} FROM facts ORDER BY place")


def worded(template: str, facts: Mapping[str, Any], said: Language, *, as_of: date) -> str:
    """`template` with one customer's numbers (see `all_worded`)."""
    return all_worded(template, pd.DataFrame([dict(facts)]), said, as_of=as_of)[0]


def all_worded(template: str, facts: pd.DataFrame, said: Language, *, as_of: date) -> list[str]:
    """`template` with the numbers of each row: `{recency_days:date}` is that many days before as_of.

    Formats: whole, one (decimal), percent, tenths (of a percent), money, date (days ago), ahead (days
    from now), text, and a unit of the language for a count with its noun. Equal numbers are put into
    words once.
    """
    parts: list[Iterable[str]] = []
    for literal, name, spec, _ in string.Formatter().parse(template):
        parts.append([literal] * len(facts))
        if name is not None:
            known = {
                value: _formatted(value, spec or "text", said, as_of)
                for value in facts[name].unique()
            }
            parts.append(facts[name].map(known))
    return [_cut("".join(pieces)) for pieces in zip(*parts, strict=True)]


def fields(template: str) -> list[str]:
    """The columns that a sentence puts into words."""
    return [name for _, name, _, _ in string.Formatter().parse(template) if name]


def _cut(sentence: str) -> str:
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
        "tenths": lambda: f"{float(value):.1%}",
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


def _parsed(text: str) -> exp.Expr:
    return parse_one(text, dialect="duckdb")
