"""The smallest change of what can be acted on that would take a customer off the list."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from churn.features.definitions import Feature
from churn.retention.language import Language, worded
from churn.retention.policy import Policy
from churn.retention.ranking import value_is_known

MAX_VOICES = 10
"""All sets of so many families are 1,024 rows to score: the smallest is found, not guessed."""

Risk = Callable[[pd.DataFrame], np.ndarray]


@dataclass(frozen=True)
class Answer:
    """`voices` that have to be back to normal and the `risk` then; none where no set is enough.

    `before` is the risk as it is, `below` what it has to fall below, `best` the lowest that any set
    of families reaches.
    """

    before: float
    below: float
    best: float
    voices: tuple[str, ...] = ()
    risk: float | None = None
    tried: tuple[str, ...] = ()


def normal(own: pd.DataFrame, everybody: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """Where each of `columns` would be if all were well: the median of the customer's `own` earlier
    rows, else that of `everybody` who stayed; a category is the commonest one. Columns that neither
    knows are left out."""
    found = {}
    for name in columns:
        for rows in (own, everybody):
            known = rows[name].dropna() if name in rows else rows.iloc[:, 0].iloc[:0]
            if len(known):
                is_number = pd.api.types.is_numeric_dtype(known)
                found[name] = known.median() if is_number else known.mode().iloc[0]
                break
    return pd.Series(found, dtype=object)


def smallest(
    facts: pd.DataFrame,
    target: pd.Series,
    columns_of: Mapping[str, Sequence[str]],
    *,
    risk: Risk,
    below: float,
) -> Answer:
    """The fewest voices whose features, moved to `target`, bring the one row of `facts` below.

    `columns_of` are the features of each voice that can be acted on, `risk` scores rows with the real
    model. Of sets of the same size the one with the lowest risk. Every set is scored: with few
    voices that costs one prediction, and a greedy search can miss two that only help together.
    """
    voices = [v for v in columns_of if any(c in target for c in columns_of[v])][:MAX_VOICES]
    sets = [chosen for n in range(len(voices) + 1) for chosen in combinations(voices, n)]
    rows = pd.concat([facts] * len(sets), ignore_index=True)
    for place, chosen in enumerate(sets):
        for name in (c for voice in chosen for c in columns_of[voice] if c in target):
            rows[name] = _with(rows[name], place, target[name])
    risks = np.asarray(risk(rows), dtype=float)
    answer = Answer(float(risks[0]), below, float(risks.min()), tried=tuple(voices))
    enough = [(len(chosen), risks[k], k) for k, chosen in enumerate(sets) if k and risks[k] < below]
    if not enough:
        return answer
    _, lowest, place = min(enough)
    return Answer(answer.before, below, answer.best, sets[place], float(lowest), tuple(voices))


def _with(values: pd.Series, place: int, value: Any) -> pd.Series:
    whole = pd.api.types.is_integer_dtype(values)
    changed = values.astype(float) if whole else values.copy()
    changed.iloc[place] = value
    return changed


def steps(
    facts: pd.DataFrame, target: pd.Series, columns: Sequence[str], features: Sequence[Feature]
) -> list[tuple[str, str, str]]:
    """What would be different, in words: the feature, now, then; unchanged ones left out."""
    words = {f.name: f.sentence for f in features}
    found = []
    for name in columns:
        if name not in target:
            continue
        now, then = (_plain(value) for value in (facts[name].iloc[0], target[name]))
        if now != then:
            found.append((words[name], now, then))
    return found


def _plain(value: Any) -> str:
    if pd.isna(value):
        return "nothing"
    return str(value) if isinstance(value, str) else f"{value:,.4g}"


def off_below(ranked: pd.DataFrame, customer: str, *, policy: Policy) -> tuple[str, float]:
    """Which risk of `customer` decides (`risk_8w`, or `risk` where no value is known), and what it
    has to fall below to leave the list to the first of the same owner who does not qualify.

    `ranked` as from `ranking.ranked`. The priority plus the cost of a contact is proportional to the
    risk, so the risk has to fall by the ratio of the two. Where nobody waits the customer must no
    longer be worth a contact.
    """
    me = ranked[ranked["customer_id"] == customer].iloc[0]
    is_open = ~ranked["qualifies"] & ranked["state"].eq("")
    waiting = ranked[is_open & (ranked["owner"] == me["owner"])]
    if not value_is_known(ranked):
        return "risk", float(waiting["risk"].max()) if len(waiting) else 0.0
    first = float(waiting["priority"].max()) if waiting["priority"].notna().any() else 0.0
    ratio = (max(first, 0.0) + policy.contact_cost) / (float(me["priority"]) + policy.contact_cost)
    return "risk_8w", float(me["risk_8w"]) * ratio


def in_words(answer: Answer, said: Language) -> str:
    """The answer as one sentence; empty where the model reads nothing that can be acted on."""
    names = [said.names.get(voice, voice) for voice in answer.voices or answer.tried]
    if not names:
        return ""
    *others, last = names
    facts = {
        "voices": said.conjunction.join([", ".join(others), last]) if others else last,
        "before": answer.before,
        "risk": answer.risk,
        "best": answer.best,
    }
    template = said.what_if if answer.voices else said.what_if_not
    return worded(template, facts, said, as_of=date.min)
