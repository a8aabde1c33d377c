"""Contributions → who speaks for and against a customer, strongest first, in sentences."""

from collections.abc import Collection, Mapping
from datetime import date

import numpy as np
import pandas as pd

from churn.retention.language import LOWERS, RAISES, Language, all_worded

MIN_CONTRIBUTION = 0.3
"""In log-odds: a family that moves the odds by less than a third (35 %) does not speak. Who is said to
leave 1.5 times as often for it would need log 1.5 = .4 on average; what is weaker is a small change.
On the demo the families pass that test from .3 on and none does at .05 (docs/decisions/014)."""

N_RAISING, N_LOWERING = 3, 1
"""How many reasons a list shows, and how many protecting factors."""

DROP_DAYS = 70
"""A drop is looked for in the last ten weeks."""


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


def by_voice(contributions: pd.DataFrame, said: Language) -> pd.DataFrame:
    """Contributions by family (customers × families, log-odds) summed by voice."""
    return pd.DataFrame(
        {
            voice: contributions[[name for name in families if name in contributions]].sum(axis=1)
            for voice, families in said.voices.items()
        },
        index=contributions.index,
    )


def template_of(strengths: np.ndarray, said: Language, matching: pd.DataFrame) -> np.ndarray:
    """Which template each voice would use for each row (its place in `said.templates`), else -1.

    `strengths`: rows × voices in the order of `said.voices`; a voice speaks in the direction of its
    strength, with the first template that may be said.
    """
    chosen = np.full(strengths.shape, -1)
    for column, voice in enumerate(said.voices):
        for direction, mine in (
            (RAISES, strengths[:, column] > 0),
            (LOWERS, strengths[:, column] < 0),
        ):
            places = [
                place
                for place, one in enumerate(said.templates)
                if (one.voice, one.direction) == (voice, direction)
            ]
            if not places:
                continue
            allowed = matching[[f"t_{place}" for place in places]].to_numpy() == 1
            first = np.where(allowed.any(axis=1), np.array(places)[allowed.argmax(axis=1)], -1)
            chosen[mine, column] = first[mine]
    return chosen


def speaking(
    voices: pd.DataFrame,
    said: Language,
    *,
    matching: pd.DataFrame,
    silent: Collection[tuple[str, str]] = (),
    first_before: Mapping[str, str] | None = None,
    stays: float = 0.0,
) -> pd.DataFrame:
    """Who speaks for each row of `voices`, strongest first: row, rank, family, direction,
    contribution (log-odds), template.

    `voices`: rows × voices (log-odds), `matching` from `language.matches`, row by row the same. The
    (voice, direction) pairs of `silent` say nothing. The voice that came first for a customer last
    week (`first_before`, by the index of `voices`) counts as stronger by the share `stays`: another
    has to be that much stronger to take its place, and it falls silent that much later than it would
    begin to speak. Without that, one list in eight changed a reason though nothing had happened.
    """
    names = np.array(list(said.voices), dtype=object)
    strengths = voices[names].to_numpy(dtype=float)
    chosen = template_of(strengths, said, matching)
    for family, direction in silent:
        mine = (strengths > 0) == (direction == RAISES)
        chosen[mine & (names == family)] = -1
    before = np.array([(first_before or {}).get(str(who)) for who in voices.index], dtype=object)
    was_first = (before[:, None] == names) & (strengths > 0)
    weight = np.abs(strengths) * np.where(was_first, 1 + stays, 1)
    chosen[weight < MIN_CONTRIBUTION] = -1
    order = np.argsort(-weight, axis=1, kind="stable")
    is_heard = np.take_along_axis(chosen, order, axis=1) >= 0
    row, nth = np.nonzero(is_heard)
    voice = order[row, nth]
    contribution = strengths[row, voice]
    return pd.DataFrame(
        {
            "row": row,
            "rank": is_heard.cumsum(axis=1)[row, nth],
            "family": names[voice],
            "direction": np.where(contribution > 0, RAISES, LOWERS),
            "contribution": contribution,
            "template": chosen[row, voice],
        }
    )


def sentences(
    spoken: pd.DataFrame, facts: pd.DataFrame, said: Language, *, as_of: date
) -> pd.DataFrame:
    """The reasons of each customer: customer_id, rank, family, direction, contribution, sentence.

    `spoken` from `speaking`, `facts` the customers' numbers in the same order of rows, indexed by
    customer_id. Each sentence is made for all customers at once.
    """
    sentence = np.full(len(spoken), "", dtype=object)
    for template, rows in spoken.reset_index(drop=True).groupby("template"):
        say = said.templates[int(str(template))].say
        own = facts.iloc[rows["row"].to_numpy()]
        sentence[rows.index.to_numpy()] = all_worded(say, own, said, as_of=as_of)
    customers = facts.index.to_numpy(dtype=object)[spoken["row"].to_numpy(dtype=int)]
    made = spoken.assign(customer_id=customers, sentence=sentence)
    return made[["customer_id", "rank", "family", "direction", "contribution", "sentence"]]
