"""What messages speak of: learnt from words that customers share, the same again, plain numbers."""

import json

import numpy as np
import pandas as pd
import pytest

from churn.features import topics
from churn.features.topics import MIN_CUSTOMERS, SCALE

COMPLAINTS = [
    "The export is broken again",
    "broken export, third outage",
    "an outage broke the report",
]
QUESTIONS = [
    "how do I add a colleague",
    "where do I add a colleague please",
    "can a colleague be added",
]


@pytest.fixture(scope="module")
def messages() -> pd.DataFrame:
    rows = [
        (f"c{number:02d}", text)
        for number in range(40)
        for text in (COMPLAINTS if number % 2 else QUESTIONS)
    ]
    rows += [(f"c{number:02d}", "yours, Grace Hopper") for number in range(MIN_CUSTOMERS - 1)]
    return pd.DataFrame(sorted(rows), columns=["customer_id", "text"])


@pytest.fixture(scope="module")
def known(messages: pd.DataFrame) -> topics.Topics:
    found = topics.fit(messages, n_topics=4)
    assert found is not None
    return found


def test_a_word_that_few_customers_used_is_not_learnt(known: topics.Topics) -> None:
    assert {"broken", "colleague"} <= set(known.terms)
    assert not {"grace", "hopper", "yours"} & set(known.terms)


def test_complaints_and_questions_are_different_topics(known: topics.Topics) -> None:
    told = topics.weights(known, COMPLAINTS + QUESTIONS).drop(columns="text").to_numpy()
    unit = told / np.linalg.norm(told, axis=1, keepdims=True)
    alike = unit @ unit.T
    assert alike[:3, :3].min() > alike[:3, 3:].max()


def test_learning_again_gives_the_same_numbers(
    known: topics.Topics, messages: pd.DataFrame
) -> None:
    assert topics.fit(messages, n_topics=4) == known


def test_weights_depend_on_the_text_alone(known: topics.Topics) -> None:
    one = topics.weights(known, COMPLAINTS).set_index("text")
    other = topics.weights(known, [*reversed(COMPLAINTS), "nothing of this"]).set_index("text")
    pd.testing.assert_frame_equal(one, other.loc[COMPLAINTS])
    assert (other.loc["nothing of this"] == 0).all()
    assert other.dtypes.eq("int64").all()
    assert other.abs().max().max() <= SCALE


def test_a_specification_brings_the_topics_back(known: topics.Topics) -> None:
    assert topics.from_spec(json.loads(json.dumps(topics.to_spec(known)))) == known
    assert topics.from_spec({}) is None


@pytest.mark.parametrize(
    "texts",
    [[], ["?!", "7 7"], ["alone with these words"] * (MIN_CUSTOMERS - 1)],
    ids=["no message", "no word", "too few customers"],
)
def test_nothing_is_learnt_from_next_to_nothing(texts: list[str]) -> None:
    customers = [f"c{number}" for number in range(len(texts))]
    assert topics.fit(pd.DataFrame({"customer_id": customers, "text": texts}), n_topics=4) is None


def test_a_topic_shows_its_weightiest_words(known: topics.Topics) -> None:
    assert len(topics.shown(known, 0).split(", ")) == topics.N_SHOWN
