"""What became of customers for whom a family spoke, and which families may be shown for it."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import panels
import pytest

from churn.contracts import BACKTEST_REASONS
from churn.features.definitions import Feature
from churn.features.labels import Definition
from churn.io.modelling import witness
from churn.learning import backtest, models, shapley, trial
from churn.learning.models import Recipe
from churn.retention import evidence, language
from churn.retention.language import LOWERS, RAISES
from churn.settings import EngineSettings, Settings, spoken

SAID = spoken(Settings())
AT = date(2026, 1, 5)


def heard(
    strengths: dict[str, list[float]],
    label: list[int],
    *,
    origins: list[date] | None = None,
    **more: Any,
) -> pd.DataFrame:
    """A backtest in which every voice may say what it thinks, if it is loud enough."""
    rows = [
        {
            "origin": (origins or [AT] * len(label))[k], "snapshot": AT, "customer_id": f"{k:05d}",
            "family": family, "direction": RAISES if values[k] > 0 else LOWERS,
            "contribution": values[k], "may_speak": abs(values[k]) >= 0.05, "label": float(label[k]),
            "weight": 1.0,
        }
        for k in range(len(label))
        for family, values in strengths.items()
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**more)


def record(rows: pd.DataFrame, family: str, direction: str = RAISES, **more: Any) -> dict[str, Any]:
    found = evidence.weighed(rows, more.pop("churned_on", None), min_lift=more.pop("min_lift", 1.5))
    return next(one for one in found if (one["family"], one["direction"]) == (family, direction))


def test_lift_coverage_and_lead_time_by_hand() -> None:
    """100 customers leave of 400; it speaks for 80 of those and for 40 who stay."""
    label = [1] * 100 + [0] * 300
    strength = [1.0] * 80 + [0.0] * 20 + [1.0] * 40 + [-1.0] * 260
    gone = pd.DataFrame(
        {
            "snapshot": AT,
            "customer_id": [f"{k:05d}" for k in range(100)],
            "churned_on": [AT + timedelta(days=k % 5) for k in range(100)],
        }
    )
    found = record(heard({"use": strength}, label), "use", churned_on=gone)
    assert found["lift"] == pytest.approx((80 / 120) / 0.25)
    assert found["coverage"] == pytest.approx(0.8)
    assert found["lead_time_days"] == 2
    assert found["n_left"] == 80
    assert found["low"] < found["lift"] < found["high"]
    assert found["is_shown"]
    protects = record(heard({"use": strength}, label), "use", LOWERS)
    assert (protects["n_left"], protects["lift"]) == (0, 0)
    assert protects["is_shown"], "65 were to be expected and nobody left"
    assert protects["lead_time_days"] is None


def test_average_means_that_of_the_same_origin() -> None:
    """It speaks where many leave anyway: four times the pooled rate of the others, and no lift."""
    other = AT + timedelta(days=28)
    label = ([1] * 40 + [0] * 60) + ([1] * 10 + [0] * 90)
    strength = [1.0, 0.0] * 50 + [0.0] * 100
    found = record(
        heard({"use": strength}, label, origins=[AT] * 100 + [other] * 100), "use", min_lift=1.0
    )
    assert found["lift"] == pytest.approx(1.0)
    assert not found["is_shown"]


def test_a_lucky_handful_does_not_pass() -> None:
    label = [1] * 100 + [0] * 900
    few = [1.0] * 19 + [0.0] * 981
    assert record(heard({"use": few}, label), "use")["lift"] == pytest.approx(10)
    assert not record(heard({"use": few}, label), "use")["is_shown"]
    enough = [1.0] * 20 + [0.0] * 980
    assert record(heard({"use": enough}, label), "use")["is_shown"]
    barely = [1.0] * 24 + [0.0] * 76 + [1.0] * 136 + [0.0] * 764
    found = record(heard({"use": barely}, label), "use")
    assert found["lift"] == pytest.approx(1.5)
    assert found["low"] < 1
    assert not found["is_shown"], "24 where 16 were to be expected: luck does that"


def test_one_customer_who_leaves_after_several_snapshots_is_one_piece_of_luck() -> None:
    label = [1] * 40 + [0] * 360
    rows = heard({"use": [1.0] * 40 + [0.0] * 360}, label)
    assert record(rows, "use")["is_shown"]
    same = rows.assign(
        customer_id=[f"{k // 4}" if k < 40 else f"{k}" for k in range(400)],
        snapshot=[AT + timedelta(days=7 * (k % 4)) for k in range(400)],
    )
    found = record(same, "use")
    assert found["lift"] == record(rows, "use")["lift"]
    assert (found["n_left"], found["is_shown"]) == (10, False)


def test_a_row_stands_for_as_many_as_its_weight_says() -> None:
    label = [1] * 50 + [0] * 50
    rows = heard({"use": [1.0] * 30 + [0.0] * 20 + [1.0] * 10 + [0.0] * 40}, label)
    weighted = rows.assign(weight=np.where(rows["label"] == 1, 1.0, 9.0))
    rate, average = 30 / (30 + 90), 50 / 500
    assert record(weighted, "use")["lift"] == pytest.approx(rate / average)


def test_only_what_a_list_shows_counts_as_spoken() -> None:
    """The fourth strongest is not on the list; without the failing first three it is."""
    label = [1] * 100 + [0] * 300
    loud = {name: [1.0] * 400 for name in ("a", "b", "c")}
    rows = heard({**loud, "use": [0.9] * 100 + [0.0] * 300}, label)
    found = evidence.weighed(rows, min_lift=1.5)
    shown = {one["family"] for one in found if one["is_shown"]}
    assert shown == {"use"}
    assert record(rows, "use")["coverage"] == 1.0
    assert record(rows, "a")["lift"] == pytest.approx(1.0)
    good = {name: [1.0] * 100 + [0.0] * 300 for name in ("a", "b", "c")}
    fourth = record(heard({**good, "use": [0.9] * 100 + [0.0] * 300}, label), "use")
    assert (fourth["lift"], fourth["is_shown"]) == (None, False)


def test_a_sample_keeps_the_leavers_and_what_they_stand_for() -> None:
    rows = pd.DataFrame({"label": [1.0] * 300 + [0.0] * 9_700, "n": range(10_000)})
    drawn = evidence.sampled(rows, most=1000, seed=1)
    assert drawn["label"].sum() == 300
    assert len(drawn) == 1000
    assert drawn.groupby("label")["weight"].sum().tolist() == pytest.approx([9_700, 300])
    assert drawn.equals(evidence.sampled(rows, most=1000, seed=1))
    many = evidence.sampled(rows, most=400, seed=1)
    assert many["label"].sum() == 200
    assert many["weight"].sum() == pytest.approx(10_000)
    everything = evidence.sampled(rows, most=10**6, seed=1)
    assert set(everything["weight"]) == {1.0}
    assert len(everything) == 10_000


def test_a_voice_about_eight_weeks_is_judged_by_them() -> None:
    """Left in six weeks, left in two, stayed for eight; of the last one seven weeks are known."""
    rows = pd.DataFrame(
        {
            "origin": AT, "snapshot": AT, "customer_id": list("abcd"), "weight": 1.0,
            "label": [0.0, 1.0, 0.0, 0.0], "left_after_days": [41, 13, 70, np.nan],
            "known_days": [56, 84, 84, 55],
        }
    )  # fmt: skip
    silent = pd.DataFrame(0.0, index=rows.index, columns=list(SAID.voices))
    nothing = pd.DataFrame(
        0, index=rows.index, columns=[f"t_{k}" for k in range(len(SAID.templates))]
    )
    told = evidence.heard(rows, silent, SAID, matching=nothing)
    labels = {name: part["label"].tolist() for name, part in told.groupby("family")}
    assert labels["usage"] == [0, 1, 0, 0]
    assert labels["renewal"][:3] == [1, 1, 0]
    assert np.isnan(labels["renewal"][3])
    assert told.loc[told["family"] == "renewal", "days"].tolist()[:3] == [41, 13, 70]
    gap = evidence.heard(rows, silent, SAID, matching=nothing, gap_days=7)
    assert gap.loc[gap["family"] == "renewal", "days"].tolist()[:3] == [48, 20, 77]
    assert told.loc[told["family"] == "usage", "days"].isna().all()
    blind = evidence.heard(rows.drop(columns="known_days"), silent, SAID, matching=nothing)
    assert blind.loc[blind["family"] == "renewal", "label"].isna().all()
    assert blind.loc[blind["family"] == "usage", "label"].tolist() == [0, 1, 0, 0]


def test_what_is_not_known_yet_counts_neither_way() -> None:
    """By hand: of 200 whose eight weeks are over 40 left, 30 of them among the 60 it spoke for."""
    label = [1] * 100 + [0] * 300
    strengths = {"use": [0.0] * 400, "renewal": [1.0] * 60 + [0.0] * 340}
    rows = heard(strengths, label)
    late = [1.0] * 30 + [0.0] * 30 + [1.0] * 10 + [0.0] * 130 + [np.nan] * 200
    rows.loc[rows["family"] == "renewal", "label"] = late
    found = record(rows, "renewal")
    assert found["lift"] == pytest.approx((30 / 60) / (40 / 200))
    assert found["coverage"] == pytest.approx(30 / 40)
    assert (found["n_left"], found["n_expected"]) == (30, pytest.approx(12))
    more = heard({**strengths, "renewal": [1.0] * 60 + [0.0] * 140 + [1.0] * 200}, label)
    more.loc[more["family"] == "renewal", "label"] = late
    assert record(more, "renewal") == found
    assert record(rows.assign(label=np.nan), "renewal")["lift"] is None


def test_who_leaves_in_eight_weeks_is_a_leaver_to_a_sample() -> None:
    """Else a few of them would stand for many, and the bounds would be of other numbers."""
    rows = pd.DataFrame(
        {
            "label": [1.0] * 100 + [0.0] * 9_900, "known_days": [60] * 9_000 + [40] * 1_000,
            "left_after_days": [10.0] * 100 + [40.0] * 100 + [np.nan] * 8_800 + [39.0] * 1_000,
        }
    )  # fmt: skip
    drawn = evidence.sampled(rows, most=1000, seed=1)
    assert (drawn["left_after_days"] == 40).sum() == 100
    assert drawn.loc[drawn["left_after_days"] <= 10, "weight"].eq(1).all()
    assert drawn["weight"].sum() == pytest.approx(10_000)


@pytest.mark.parametrize("nothing", [pd.Series([0.0] * 5), pd.Series([1.0] * 5)])
def test_a_sample_of_one_kind_only(nothing: pd.Series) -> None:
    assert len(evidence.sampled(pd.DataFrame({"label": nothing}), most=100, seed=1)) == 5


def test_who_is_not_shown_and_why() -> None:
    records = evidence.weighed(
        heard(
            {"usage": [1.0] * 80 + [0.0] * 320, "money": [0.0, 0.5] * 200}, [1] * 100 + [0] * 300
        ),
        min_lift=1.5,
    )
    found = evidence.silent(records, SAID, min_lift=1.5)
    assert ("usage", RAISES) not in found
    assert "1.0 times as often" in found["money", RAISES]
    assert found["people", RAISES] == "never spoke in the backtest"
    assert ("usage", RAISES) in evidence.silent(records, SAID, min_lift=5)


def test_evidence_in_words() -> None:
    known = {"lift": 2.44, "lead_time_days": 17.0}
    assert evidence.in_words(known, SAID) == (
        "Customers with this left 2.4 times as often as average, a median of 17 days later."
    )
    undated = {"lift": 2.0, "lead_time_days": None}
    assert evidence.in_words(undated, SAID) == (
        "Customers with this left 2 times as often as average."
    )


def test_reasons_with_and_without_a_record_beside_them() -> None:
    rows = pd.DataFrame({"family": ["usage", "money"], "direction": [RAISES, LOWERS]})
    known = [
        {
            "family": "usage",
            "direction": RAISES,
            "lift": 2.0,
            "lead_time_days": None,
            "coverage": 0.5,
        }
    ]
    found = evidence.beside(rows, known, SAID)
    assert found["lift"].tolist()[0] == 2.0
    assert found["evidence"].tolist() == [
        "Customers with this left 2 times as often as average.",
        None,
    ]
    assert found.loc[1, ["lift", "lead_time_days", "coverage"]].isna().all()
    nobody = evidence.beside(rows, [], SAID)
    assert nobody[["lift", "lead_time_days", "coverage", "evidence"]].isna().all().all()


def verdicts(**counts: int) -> pd.DataFrame:
    said = [name.replace("_", " ") for name, n in counts.items() for _ in range(n)]
    return pd.DataFrame({"family": "usage", "verdict": said})


@pytest.mark.parametrize(
    ("counts", "is_muted"),
    [
        ({"right": 0, "wrong_reason": 9}, False),  # nine verdicts are no record
        ({"right": 0, "wrong_reason": 10}, True),
        ({"right": 2, "wrong_reason": 4, "data_error": 4}, True),  # upper bound .46
        (
            {"right": 3, "wrong_reason": 7},
            False,
        ),  # upper bound .55: could be right half of the time
        ({"right": 20, "wrong_reason": 45}, True),
        ({"right": 1, "already_known": 50, "out_of_our_hands": 50, "wrong_reason": 3}, False),
    ],
)
def test_a_family_that_people_found_wrong_is_muted(counts: dict[str, int], is_muted: bool) -> None:
    found = evidence.muted(verdicts(**counts), min_right=0.5)
    assert (list(found) == ["usage"]) == is_muted


def test_no_verdicts_mute_nobody() -> None:
    assert evidence.muted(pd.DataFrame({"family": [], "verdict": []}), min_right=0.5) == {}


def test_a_reader_is_told_what_is_missing() -> None:
    assert evidence.notes([], {}) == []
    assert "without evidence" in evidence.notes(None, {})[0]
    why = evidence.muted(verdicts(wrong_reason=10), min_right=0.5)
    assert evidence.notes([], why) == [
        "Reasons about usage are not shown: people found them right in 0 of 10 verdicts."
    ]


LUCK = [Feature(f"luck_{k}", "a random number", "points", "luck", "COUNT(*)") for k in range(6)]


def with_luck(seed: int) -> pd.DataFrame:
    """The panel with a family of random numbers: three fresh ones, three that stay with the customer."""
    rows = backtest.mature(panels.panel(n_customers=900, n_snapshots=8, seed=seed))
    random = np.random.default_rng(seed + 100)
    own = pd.DataFrame(
        random.normal(size=(rows["customer_id"].nunique(), 3)), index=rows["customer_id"].unique()
    )
    for k in range(3):
        rows[f"luck_{k}"] = random.normal(size=len(rows))
        rows[f"luck_{k + 3}"] = rows["customer_id"].map(own[k])
    return rows


def told(seed: int) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """The record of every family of a panel with luck in it, and the rows behind it."""
    features = [*panels.FEATURES, *LUCK]
    said = language.with_own(SAID, features)
    found: list[pd.DataFrame] = []
    recipe = Recipe(
        "lightgbm",
        {"n_rounds": 60, "num_leaves": 15, "min_data_in_leaf": 10, "learning_rate": 0.2},
        n_folds=0,
    )
    settings = Settings(engine=EngineSettings(threads=1))
    contestants = witness.listening(backtest.only_model(recipe), settings, said, found)
    trial.run(
        with_luck(seed), definition=Definition(**panels.churn()), features=features,
        contestants=contestants, n_origins=4, n_test=2, list_share=0.05,
    )  # fmt: skip
    rows = pd.concat(found)
    return evidence.weighed(rows, min_lift=1.5), rows


TERM = [
    Feature(name, "of the term", "days", "contract", "x")
    for name in ("to_renewal_days", "term_length_days")
]


def with_terms(n: int) -> pd.DataFrame:
    """Customers with a month or a year to the end of their term, half of whom leave as it ends."""
    random = np.random.default_rng(3)
    term = random.choice([30.0, 365.0], n)
    to_end = np.floor(random.random(n) * term)
    left = np.where(random.random(n) < 0.3 + 0.3 * (term > 30), to_end, np.nan)
    return pd.DataFrame(
        {
            "snapshot": AT, "customer_id": [f"{k:05d}" for k in range(n)],
            "to_renewal_days": to_end, "term_length_days": term,
            "label": (left < 28).astype(float), "left_after_days": left, "known_days": 90,
        }
    )  # fmt: skip


def test_a_long_term_that_ends_has_a_voice_of_its_own_before_and_after_the_horizon() -> None:
    rows = with_terms(4000)
    model = models.fit(rows, features=TERM, recipe=Recipe("lightgbm", {"n_rounds": 60}, threads=1))
    found = witness.voices(model, rows, TERM, SAID, gap_days=0)
    whole = shapley.contributions(model, rows)[[item.name for item in TERM]].sum(axis=1)
    long = rows["term_length_days"] > 56
    soon, later = (long & rows["to_renewal_days"].between(*days) for days in ((0, 27), (28, 55)))
    np.testing.assert_allclose(found["renewal"][soon], whole[soon], atol=1e-9)
    neither = ~soon & ~later
    np.testing.assert_allclose(found["contract"][neither], whole[neither], atol=1e-9)
    assert (found["contract"][~neither] == 0).all()
    assert found["renewal"][later].quantile(0.05) > 1, "nothing else takes them away so late"
    assert (found["renewal"][neither] == 0).all()
    silent = witness.voices(model, rows, TERM, SAID.without(SAID.late), gap_days=0)
    np.testing.assert_allclose(silent["contract"], whole, atol=1e-9)
    as_a_fact = witness.voices(model, rows, TERM, SAID, gap_days=0, ends_later=1.0)
    assert (as_a_fact["renewal"][later] == 1).all()
    assert as_a_fact.drop(columns="renewal").equals(found.drop(columns="renewal"))


def test_the_end_of_a_term_after_the_horizon_is_checked_by_eight_weeks() -> None:
    """At origins whose models have no hazard: who left in eight weeks of those whose term ended then."""
    rows = pd.concat(
        [with_terms(1500).assign(snapshot=AT + timedelta(days=14 * k)) for k in range(8)],
        ignore_index=True,
    )
    heard: list[pd.DataFrame] = []
    settings = Settings(engine=EngineSettings(threads=1))
    recipe = Recipe("lightgbm", {"n_rounds": 20}, n_folds=0, threads=1)
    contestants = witness.listening(backtest.only_model(recipe), settings, SAID, heard)
    trial.run(
        rows, definition=Definition(**panels.churn()), features=TERM, contestants=contestants,
        n_origins=2, n_test=1, list_share=0.05,
    )  # fmt: skip
    told = pd.concat(heard)
    spoke = told[(told["family"] == "renewal") & told["may_speak"]]
    asked = rows.drop_duplicates("customer_id").set_index("customer_id")
    days = asked.loc[spoke["customer_id"], "to_renewal_days"]
    assert days.max() > 50
    assert (days < 56).all()
    left = asked.loc[spoke["customer_id"], "left_after_days"].to_numpy() < 56
    assert spoke["label"].tolist() == left.astype(float).tolist()
    found = record(told, "renewal")
    assert found["is_shown"]
    assert 25 < found["lead_time_days"] < 35, "of those who left after the horizon too"


SEEDS = [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_random_family_is_never_shown(seed: int) -> None:
    """Though a model that learns from few rows gives it a say: it spoke for hundreds."""
    records, rows = told(seed)
    spoke = rows[(rows["family"] == "luck") & rows["may_speak"]]
    assert len(spoke) > 500
    by_family = {(one["family"], one["direction"]): one["is_shown"] for one in records}
    assert not by_family["luck", RAISES]
    assert not by_family["luck", LOWERS]
    assert by_family["usage", RAISES], "what raises the risk in truth is shown"
    silent = evidence.silent(records, language.with_own(SAID, LUCK), min_lift=1.5)
    assert {("luck", RAISES), ("luck", LOWERS)} <= set(silent)
    assert set(BACKTEST_REASONS.columns) <= set(rows.columns)
