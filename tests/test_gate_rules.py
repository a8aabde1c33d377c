"""Every rule of the gate at its bound: what is found, what is needed, what is said."""

from typing import Any

import pytest

from churn.learning import gate
from churn.learning.gate import Verdict

BETTER = {"value": 0.02, "low": 0.01, "high": 0.03}
GOOD: dict[str, Any] = {
    "n_origins": 4,
    "n_rows": 12_000.0,
    "n_churned": 900.0,
    "differences": {
        "longest_silent": {"average_precision": BETTER, "lift_at_list": BETTER},
        "tenure_contract": {"average_precision": BETTER, "lift_at_list": BETTER},
    },
    "log_loss_skill": 0.05,
    "calibration_ratio": 1.0,
    "champion": {"average_precision": 0.2, "difference": 0.01, "by_origin": [0.1, 0.1, 0.1, -0.1]},
    "shuffled": {"roc_auc": 0.51, "standard_error": 0.01},
    "unchanged": True,
    "largest": {"feature": "events_28", "share": 0.3},
}
RULES = [
    "there is something to judge",
    "average precision minus calling the longest silent",
    "lift at the list minus calling the longest silent",
    "average precision minus tenure and contract",
    "lift at the list minus tenure and contract",
    "log-loss skill against the base rate",
    "predicted / actual",
    "average precision minus the champion's",
    "better than the champion in most origins",
    "the same training on shuffled labels",
    "events after the snapshot, or arriving after it",
    "share of the contributions in one feature",
]


def verdict(rule: str, **changes: Any) -> Verdict:
    """What is said by `rule` of good evidence with `changes`."""
    (found,) = [v for v in gate.judge(GOOD | changes) if v.rule == rule]
    return found


def champion(**changes: Any) -> dict[str, Any]:
    return {"champion": GOOD["champion"] | changes}


def difference(**changes: Any) -> dict[str, Any]:
    figures = {"average_precision": BETTER | changes, "lift_at_list": BETTER}
    return {"differences": GOOD["differences"] | {"tenure_contract": figures}}


def test_good_evidence_passes_every_rule_in_order() -> None:
    verdicts = gate.judge(GOOD)
    assert [v.rule for v in verdicts] == RULES
    assert gate.passed(verdicts) is True
    assert gate.in_words(verdicts) == "The model passed every rule of the gate."


@pytest.mark.parametrize("nothing", [None, {}])
def test_without_evidence_nothing_passes(nothing: Any) -> None:
    assert gate.judge(nothing) == [
        Verdict(
            "there is something to judge",
            "no snapshot old enough to be kept back for testing",
            "at least one origin with outcomes after its training snapshots",
            False,
        )
    ]
    assert gate.passed(gate.judge(nothing)) is False


def test_one_rule_that_fails_is_enough() -> None:
    verdicts = gate.judge(GOOD | {"log_loss_skill": 0.0})
    assert gate.passed(verdicts) is False
    assert (
        gate.in_words(verdicts) == "This model is held back: log-loss skill against the base rate."
    )


def test_a_model_no_better_than_a_rule_is_called_so_whatever_else_fails() -> None:
    verdicts = gate.judge(GOOD | difference(low=0.0) | {"calibration_ratio": 9.0})
    assert gate.in_words(verdicts) == "This model is no better than tenure and contract."
    assert not gate.passed(verdicts)


@pytest.mark.parametrize(
    ("changes", "passed"),
    [
        ({"n_origins": 1}, True),
        ({"n_origins": 0}, False),
        ({"n_churned": 0.0}, False),
        ({"n_churned": 1.0}, True),
        ({"n_churned": 12_000.0}, False),
        ({"n_churned": 11_999.0}, True),
        ({"differences": {"longest_silent": GOOD["differences"]["longest_silent"]}}, True),
        ({"differences": {}}, False),
    ],
)
def test_there_must_be_rows_of_both_kinds_and_a_rule(changes: Any, passed: bool) -> None:
    assert verdict("there is something to judge", **changes).passed is passed


def test_what_there_is_to_judge_is_said() -> None:
    said = verdict("there is something to judge")
    assert said.found == "4 origins, 12,000 rows, 900 churned"
    assert said.needed == "churned and staying rows, and a rule to beat"
    bare = verdict("there is something to judge", differences={})
    assert bare.found == "4 origins, 12,000 rows, 900 churned, no rule to compare with"


@pytest.mark.parametrize(
    ("found", "passed", "said"),
    [
        ({}, True, "+0.0200 (+0.0100 to +0.0300)"),
        ({"low": 0.0}, False, "+0.0200 (+0.0000 to +0.0300)"),
        ({"low": -0.001}, False, "+0.0200 (-0.0010 to +0.0300)"),
        ({"low": 1e-9}, True, "+0.0200 (+0.0000 to +0.0300)"),
        ({"low": None}, False, "nothing that could be computed"),
        ({"value": None}, True, "nothing that could be computed"),
        ({"high": None}, True, "nothing that could be computed"),
    ],
)
def test_a_rule_is_beaten_when_the_lower_bound_is_above_zero(
    found: Any, passed: bool, said: str
) -> None:
    verdict_ = verdict("average precision minus tenure and contract", **difference(**found))
    assert verdict_ == Verdict(verdict_.rule, said, "a lower 95 % bound above 0", passed)
    assert verdict("lift at the list minus tenure and contract", **difference(**found)).passed


@pytest.mark.parametrize(
    ("skill", "passed", "said"),
    [
        (0.05, True, "+0.0500"),
        (0.0, False, "+0.0000"),
        (-0.1, False, "-0.1000"),
        (1e-9, True, "+0.0000"),
        (None, False, "nothing that could be computed"),
    ],
)
def test_skill_is_above_zero(skill: float | None, passed: bool, said: str) -> None:
    rule = "log-loss skill against the base rate"
    assert verdict(rule, log_loss_skill=skill) == Verdict(rule, said, "above 0", passed)


@pytest.mark.parametrize(
    ("ratio", "passed", "said"),
    [
        (0.8, True, "0.800"),
        (0.799, False, "0.799"),
        (1.25, True, "1.250"),
        (1.251, False, "1.251"),
        (None, False, "nothing that could be computed"),
    ],
)
def test_calibration_lies_between_its_bounds(ratio: float | None, passed: bool, said: str) -> None:
    rule = "predicted / actual"
    assert verdict(rule, calibration_ratio=ratio) == Verdict(rule, said, "0.8 to 1.25", passed)


@pytest.mark.parametrize(
    ("difference", "passed", "said"),
    [(0.01, True, "+0.0100"), (-0.002, True, "-0.0020"), (-0.0021, False, "-0.0021")],
)
def test_a_challenger_is_at_most_one_percent_worse(
    difference: float, passed: bool, said: str
) -> None:
    rule = "average precision minus the champion's"
    needed = "not below -0.0020 (1 % of the champion's)"
    found = verdict(rule, **champion(difference=difference))
    assert found == Verdict(rule, said, needed, passed)


@pytest.mark.parametrize(
    ("by_origin", "passed", "said", "needed"),
    [
        ([1.0, 1.0, 1.0, -1.0], True, "better in 3 of 4 origins", "better in 3 of 4"),
        ([1.0, 1.0, -1.0, -1.0], False, "better in 2 of 4 origins", "better in 3 of 4"),
        ([1.0, 1.0, 1.0, -1.0, -1.0], False, "better in 3 of 5 origins", "better in 4 of 5"),
        ([0.0, 0.0, 1.0], True, "better in 1 of 1 origins", "better in 1 of 1"),
        ([0.0, 0.0, -1.0], False, "better in 0 of 1 origins", "better in 1 of 1"),
        ([0.5, 0.0], True, "better in 1 of 1 origins", "better in 1 of 1"),
        ([0.0, 0.0], True, "the same recipe at every origin", "better in 0 of 0"),
    ],
)
def test_a_challenger_is_better_in_most_origins_that_differ(
    by_origin: Any, passed: bool, said: str, needed: str
) -> None:
    rule = "better than the champion in most origins"
    found = verdict(rule, **champion(by_origin=by_origin))
    assert found == Verdict(rule, said, needed, passed)


def test_without_a_champion_nobody_is_compared() -> None:
    plain = {name: value for name, value in GOOD.items() if name != "champion"}
    assert [v.rule for v in gate.judge(plain)] == [r for r in RULES if "champion" not in r]


@pytest.mark.parametrize(
    ("auc", "passed"), [(0.53, True), (0.531, False), (0.47, True), (0.469, False), (0.5, True)]
)
def test_shuffled_labels_must_be_chance(auc: float, passed: bool) -> None:
    rule = "the same training on shuffled labels"
    found = verdict(rule, shuffled={"roc_auc": auc, "standard_error": 0.010_000_1})
    assert found == Verdict(
        rule, f"{auc:.3f}", "a ROC AUC of .5 ± 0.030 (3 standard errors)", passed
    )


def test_three_standard_errors_are_still_chance() -> None:
    rule = "the same training on shuffled labels"
    assert verdict(rule, shuffled={"roc_auc": 0.6875, "standard_error": 0.0625}).passed


def test_what_was_not_tried_does_not_pass() -> None:
    rule = "the same training on shuffled labels"
    needed = "a ROC AUC of .5 ± 3 standard errors"
    assert verdict(rule, shuffled=None) == Verdict(rule, "not tried", needed, False)
    plain = {name: value for name, value in GOOD.items() if name not in ("shuffled", "unchanged")}
    assert [v.rule for v in gate.judge(plain) if v.found == "not tried"] == RULES[9:11]


@pytest.mark.parametrize(
    ("unchanged", "passed", "said"),
    [
        (True, True, "no byte of the scores changed"),
        (False, False, "scores changed"),
        (None, False, "not tried"),
    ],
)
def test_later_events_change_nothing(unchanged: Any, passed: bool, said: str) -> None:
    rule = "events after the snapshot, or arriving after it"
    found = verdict(rule, unchanged=unchanged)
    assert found == Verdict(rule, said, "no byte of the scores changes", passed)


@pytest.mark.parametrize(
    ("share", "allowed", "passed", "said"),
    [
        (0.6, (), True, "60% in events_28"),
        (0.61, (), False, "61% in events_28"),
        (0.99, ("events_28",), True, "99% in events_28 (allowed)"),
        (0.99, ("events_7",), False, "99% in events_28"),
    ],
)
def test_no_feature_carries_the_model_alone(
    share: float, allowed: Any, passed: bool, said: str
) -> None:
    found = gate.judge(
        GOOD | {"largest": {"feature": "events_28", "share": share}}, allowed=allowed
    )
    needed = "at most 60%, or promote.allowed=[events_28] after looking at it"
    assert found[-1] == Verdict("share of the contributions in one feature", said, needed, passed)


def test_the_figures_of_a_backtest_decide_some_rules_alone() -> None:
    found = gate.on_figures(GOOD, GOOD["differences"])
    assert [v.rule for v in found] == RULES[1:7]
    assert gate.passed(found)
    empty = gate.on_figures({}, {})
    assert [(v.rule, v.passed) for v in empty] == [(RULES[5], False), (RULES[6], False)]
