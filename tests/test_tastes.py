"""Factors of items: learnt from items that customers share, the same again, plain numbers."""

import json

import numpy as np
import pandas as pd
import pytest

from churn.features import tastes
from churn.features.tastes import MIN_CUSTOMERS

TEA, INK = ["tea", "milk", "cups"], ["ink", "pens", "paper"]


@pytest.fixture(scope="module")
def had() -> pd.DataFrame:
    rows = [(f"c{n:02d}", item) for n in range(40) for item in (TEA if n % 2 else INK)]
    rows += [(f"c{n:02d}", "rarity") for n in range(MIN_CUSTOMERS - 1)]
    rows += [(f"c{n:02d}", "bag") for n in range(40)]
    return pd.DataFrame(sorted(rows), columns=["customer_id", "item"])


@pytest.fixture(scope="module")
def known(had: pd.DataFrame) -> tastes.Tastes:
    found = tastes.fit(had, n_tastes=3)
    assert found is not None
    return found


def test_an_item_that_few_customers_had_is_not_learnt(known: tastes.Tastes) -> None:
    assert set(known.items) == {*TEA, *INK, "bag"}


def test_items_that_are_had_together_weigh_alike(known: tastes.Tastes) -> None:
    weight = tastes.weights(known).set_index("item")
    told = weight / np.linalg.norm(weight, axis=1, keepdims=True)
    alike = told @ told.T
    assert alike.loc[TEA, TEA].to_numpy().min() > alike.loc[TEA, INK].to_numpy().max() + 0.5


def test_learning_again_gives_the_same_numbers(known: tastes.Tastes, had: pd.DataFrame) -> None:
    assert tastes.fit(had, n_tastes=3) == known


def test_it_goes_through_json_unchanged(known: tastes.Tastes) -> None:
    assert tastes.from_spec(json.loads(json.dumps(tastes.to_spec(known)))) == known


@pytest.mark.parametrize("n_tastes", [0, 3])
def test_nothing_is_learnt_from_next_to_nothing(n_tastes: int) -> None:
    alone = pd.DataFrame({"customer_id": ["a", "b"], "item": ["tea", "ink"]})
    assert tastes.fit(alone, n_tastes=n_tastes) is None
    assert tastes.fit(alone.iloc[:0], n_tastes=n_tastes) is None
