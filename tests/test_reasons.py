"""Sentences of the templates, and who speaks for a customer."""

import dataclasses
import re
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
import world as worlds
import yaml

from churn.conf_tree import CONF
from churn.features.definitions import Feature
from churn.io.modelling import witness
from churn.retention import language, reasons
from churn.retention.language import LOWERS, RAISES, Template
from churn.settings import Settings, spoken

AS_OF = date(2026, 3, 2)
SAID = spoken(Settings())
FILES = sorted((CONF / "explain" / "sentences").glob("*.yaml"))
BLAME = (
    "because",
    "due to",
    "fail",
    "neglect",
    "ignor",
    "should",
    "fault",
    "bad ",
    "lazy",
    "wrong",
)


def facts(number: float) -> dict[str, Any]:
    """Every number that a sentence may ask for."""
    names = [item.name for item in worlds.FEATURES]
    return dict.fromkeys([*names, "drop_began_days", "lift", "lead_time_days"], number)


def every_template() -> list[Template]:
    return [
        template
        for path in FILES
        for template in language.language(
            yaml.safe_load(path.read_text()), file=path.name
        ).templates
    ]


@pytest.mark.parametrize("template", every_template(), ids=lambda one: one.say[:60])
def test_a_sentence_is_short_plain_and_about_numbers_that_exist(template: Template) -> None:
    names = set(language.fields(template.say))
    assert names <= set(facts(1))
    longest = language.worded(template.say, facts(9_999), SAID, as_of=AS_OF)
    assert len(longest) <= language.MAX_LENGTH
    assert not longest.endswith("…"), "nothing had to be cut"
    for number in (0, 1, 9_999):
        sentence = language.worded(template.say, facts(number), SAID, as_of=AS_OF)
        assert sentence.endswith("."), sentence
        assert "_" not in sentence, "a feature's name"
        # "2 failed payments" is what the log calls them, no blame
        plain = sentence.lower().replace("failed payment", "")
        assert not [word for word in BLAME if word in plain], sentence
    has_number = re.search(r"\d", longest) or longest.startswith("No ")
    assert has_number, "the customer's own number"


def test_every_family_of_features_has_a_voice() -> None:
    heard = {family for families in SAID.voices.values() for family in families}
    assert {item.family for item in worlds.FEATURES} - heard <= {"outside"}


def test_every_drop_is_beside_what_is_usual_and_since_when() -> None:
    """Of the sentences about less use, those that compare say what is usual for the customer."""
    compared = [t.say for t in SAID.templates if t.direction == RAISES and "_trend_" in t.when]
    own = [say for say in compared if "n_errors" not in say]
    assert len(own) >= 3
    assert all("usual for them is" in say for say in own)
    assert any("{drop_began_days:date}" in t.say for t in SAID.templates)


@pytest.mark.parametrize(
    ("say", "numbers", "expected"),
    [
        ("Since {a:date}.", {"a": 13}, "Since 17 Feb."),
        ("Since {a:date}.", {"a": 400}, "Since 26 Jan 2025."),
        ("In {a:ahead}.", {"a": 3}, "In 5 Mar."),
        ("{a:day} and {b:day}.", {"a": 1.0, "b": 1234}, "1 day and 1,234 days."),
        ("{a:one}, {b:one}.", {"a": 2.0, "b": 2.25}, "2, 2.2."),
        ("{a:money} of {b:percent}.", {"a": 1234.5, "b": 0.256}, "1,234 of 26%."),
        ("{a} {{b}}.", {"a": "x"}, "x {b}."),
    ],
)
def test_numbers_in_words(say: str, numbers: dict[str, Any], expected: str) -> None:
    assert language.worded(say, numbers, SAID, as_of=AS_OF) == expected


def test_a_sentence_that_would_be_too_long_is_cut() -> None:
    said = language.worded("{a:text}", {"a": "x" * 200}, SAID, as_of=AS_OF)
    assert len(said) == language.MAX_LENGTH
    assert said.endswith("…")


def test_an_unknown_format_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(Exception, match="format that does not exist"):
        language.worded("{a:wole}", {"a": 1}, SAID, as_of=AS_OF)


@pytest.mark.parametrize(
    ("active", "expected"),
    [
        (range(0), 0),  # never active: no drop
        (range(70), 0),  # always active
        (range(14), 0),  # more than before
        (range(14, 70), 14),  # silent since 14 days
        (range(20, 70), 20),  # before the fortnight
        (range(3, 70), 3),
    ],
)
def test_when_a_drop_began(active: range, expected: int) -> None:
    days = np.zeros((1, 182), dtype=int)
    days[0, list(active)] = 1
    assert reasons.drop_began_days(days).tolist() == [expected]


TINY = dataclasses.replace(
    SAID,
    voices={"use": ["volume", "trend"], "money": ["money"], "mute": ["profile"]},
    templates=[
        Template("use", RAISES, "n < 3", "{n:whole} events."),
        Template("use", RAISES, "n < 9", "Only {n:whole} events."),
        Template("use", LOWERS, "n >= 9", "As many as {n:whole} events."),
        Template("money", RAISES, "absent > 1", "{absent:money}."),
        Template("money", LOWERS, "n >= 0", "Pays."),
    ],
)
MATCHING = pd.DataFrame({f"t_{k}": values for k, values in enumerate(
    [[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 1, 1]])})  # fmt: skip


def voices(**strengths: list[float]) -> pd.DataFrame:
    return pd.DataFrame(strengths, index=["a", "b", "c"]).reindex(columns=list(TINY.voices))


def spoken_rows(**asked: Any) -> list[tuple[Any, ...]]:
    strong = voices(use=[1.0, 0.4, -0.4], money=[0.5, -0.5, -0.29], mute=[9.0, 9.0, 9.0])
    heard = reasons.speaking(strong, TINY, matching=MATCHING, **asked)
    return list(heard[["row", "rank", "family", "direction", "template"]].itertuples(index=False))


def test_each_voice_speaks_once_in_its_direction_with_the_first_sentence_it_may_say() -> None:
    """`money` has nothing to say for `a`, too little for `c`; `mute` has no sentence at all."""
    assert spoken_rows() == [
        (0, 1, "use", RAISES, 0),
        (1, 1, "money", LOWERS, 4),
        (1, 2, "use", RAISES, 1),
        (2, 1, "use", LOWERS, 2),
    ]


def test_the_silent_say_nothing_in_that_direction() -> None:
    assert spoken_rows(silent=[("use", RAISES), ("gone", RAISES)]) == [
        (1, 1, "money", LOWERS, 4),
        (2, 1, "use", LOWERS, 2),
    ]


def test_last_weeks_first_reason_stays_first_unless_another_is_clearly_stronger() -> None:
    said = dataclasses.replace(
        SAID,
        voices={"one": ["one"], "two": ["two"]},
        templates=[Template(name, RAISES, "1 = 1", ".") for name in ("one", "two")],
    )
    strong = pd.DataFrame({"one": [1.0] * 3, "two": [1.2, 1.3, 1.2]}, index=["a", "b", "c"])
    heard = reasons.speaking(
        strong, said, matching=pd.DataFrame({"t_0": [1] * 3, "t_1": [1] * 3}),
        first_before={"a": "one", "b": "one"}, stays=0.25,
    )  # fmt: skip
    assert heard.loc[heard["rank"] == 1, "family"].tolist() == ["one", "two", "two"]
    assert heard.loc[heard["rank"] == 1, "contribution"].tolist() == [1.0, 1.3, 1.2]


def test_last_weeks_first_reason_falls_silent_later_than_it_began_to_speak() -> None:
    weak = voices(use=[0.25, 0.25, 0.25], money=[0.0] * 3, mute=[0.0] * 3)
    heard = reasons.speaking(
        weak, TINY, matching=MATCHING, first_before={"a": "use", "b": "money"}, stays=0.25
    )
    assert heard[["row", "family"]].to_numpy().tolist() == [[0, "use"]]


def test_sentences_carry_each_customers_own_numbers() -> None:
    heard = reasons.speaking(
        voices(use=[1.0, 0.4, -0.4], money=[0.0] * 3, mute=[0.0] * 3), TINY, matching=MATCHING
    )
    own = pd.DataFrame({"n": [2, 8, 1234]}, index=["a", "b", "c"])
    rows = reasons.sentences(heard, own, TINY, as_of=AS_OF)
    assert rows["sentence"].tolist() == ["2 events.", "Only 8 events.", "As many as 1,234 events."]
    assert rows["customer_id"].tolist() == ["a", "b", "c"]


def test_nobody_speaks_for_nobody() -> None:
    none = voices(use=[0.0] * 3, money=[0.01] * 3, mute=[1.0] * 3)
    heard = reasons.speaking(none, TINY, matching=MATCHING)
    assert reasons.sentences(heard, pd.DataFrame(index=none.index), TINY, as_of=AS_OF).empty


def test_many_at_once_is_what_one_by_one_would_say() -> None:
    """Against the plain loop over customers and voices."""
    random = np.random.default_rng(3)
    n = 300
    strong = pd.DataFrame(random.normal(0, 0.4, (n, len(SAID.voices))), columns=list(SAID.voices))
    strong.index = [f"{k:03d}" for k in range(n)]
    places = range(len(SAID.templates))
    matching = pd.DataFrame({f"t_{k}": random.integers(0, 2, n) for k in places})
    heard = reasons.speaking(strong, SAID, matching=matching)
    expected = []
    for row in range(n):
        loudest = sorted(strong.columns, key=lambda name: -abs(strong.iloc[row][name]))
        rank = 0
        for name in loudest:
            strength = strong.iloc[row][name]
            direction = RAISES if strength > 0 else LOWERS
            mine = [
                k for k in places
                if (SAID.templates[k].voice, SAID.templates[k].direction) == (name, direction)
                and matching.iloc[row][f"t_{k}"]
            ]  # fmt: skip
            if mine and abs(strength) >= reasons.MIN_CONTRIBUTION:
                rank += 1
                expected.append((row, rank, name, direction, strength, mine[0]))
    assert list(heard.itertuples(index=False, name=None)) == expected


def test_a_feature_of_ones_own_is_heard_in_the_words_of_its_definition() -> None:
    own = [Feature("n_mondays", "Events {on} Mondays", "events", "mine", "COUNT(*)")]
    said = language.with_own(SAID, [*worlds.FEATURES[:3], *own])
    assert said.voices["mine"] == ["mine"]
    strong = pd.DataFrame(0.0, index=["a"], columns=list(said.voices)).assign(mine=0.5)
    facts = pd.DataFrame({"n_mondays": [7.0]}, index=["a"])
    matching = witness.matching(Settings(), facts, said)
    heard = reasons.speaking(strong, said, matching=matching)
    rows = reasons.sentences(heard, facts, said, as_of=AS_OF)
    assert rows["sentence"].tolist() == ["Events {on} Mondays: 7."]


def test_a_family_of_ones_own_that_is_called_as_a_voice_is_joins_it() -> None:
    own = [Feature("n_mondays", "Mondays", "events", "renewal", "COUNT(*)")]
    said = language.with_own(SAID, own)
    assert said.voices["renewal"] == [language.TERM_END, "renewal"]
    assert said.late == ["renewal"]


def matching_of(rows: dict[str, list[Any]], *templates: Template) -> list[list[int]]:
    said = dataclasses.replace(SAID, voices={"v": []}, templates=templates)
    found = witness.matching(Settings(), pd.DataFrame(rows), said)
    return found.to_numpy().tolist()


def test_a_sentence_is_said_only_where_its_condition_holds_and_every_number_is_there() -> None:
    assert matching_of(
        {"a": [1.0, 3.0, None, 1.0], "b": [5.0, 5.0, 5.0, None]},
        Template("v", RAISES, "a < 2 OR a IS NULL", "{b:whole}."),
        Template("v", RAISES, "b > 0", "{a:whole}."),
        Template("v", RAISES, "b > 0", "{absent:whole}."),
    ) == [[1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_a_missing_number_of_pandas_counts_as_missing_too() -> None:
    rows = {"a": [np.nan, 2.0]}
    assert matching_of(rows, Template("v", RAISES, "1 = 1", "{a:whole}.")) == [[0], [1]]
