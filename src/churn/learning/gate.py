"""Whether a model has earned its place: rules with bounds, each with what it found."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RIVALS = {"longest_silent": "calling the longest silent", "tenure_contract": "tenure and contract"}
"""What every model must beat, first one included."""

FIGURES = {"average_precision": "average precision", "lift_at_list": "lift at the list"}
RATIO_LOW, RATIO_HIGH = 0.8, 1.25
MARGIN_SHARE = 0.01
BETTER_SHARE = 0.75
MAX_FEATURE_SHARE = 0.6
MAX_ERRORS = 3.0


@dataclass(frozen=True)
class Verdict:
    """One rule: what was found, what would have been enough, and how it ended."""

    rule: str
    found: str
    needed: str
    passed: bool


def judge(
    evidence: Mapping[str, Any] | None,
    *,
    allowed: Sequence[str] = (),
) -> list[Verdict]:
    """Every rule that applies, in the order of the contract's table.

    `evidence` is what `trial.evidence` recorded, with `unchanged`: whether events injected after the
    snapshot, or arriving after it, left every byte of the scores as it was (None: not tried).
    `allowed` are features that may carry more than 60 % of the contributions.
    """
    if not evidence:
        return [
            Verdict(
                "there is something to judge",
                "no snapshot old enough to be kept back for testing",
                "at least one origin with outcomes after its training snapshots",
                False,
            )
        ]
    return [
        _is_anything(evidence),
        *_beats_rivals(evidence["differences"]),
        _skill(evidence["log_loss_skill"]),
        _calibration(evidence["calibration_ratio"]),
        *_against_champion(evidence.get("champion")),
        _chance(evidence.get("shuffled")),
        _untouched(evidence.get("unchanged")),
        _spread_over_features(evidence["largest"], allowed),
    ]


def on_figures(figures: Mapping[str, float], differences: Mapping[str, Any]) -> list[Verdict]:
    """Those rules that the figures of a backtest can decide alone."""
    return [
        *_beats_rivals(differences),
        _skill(figures.get("log_loss_skill")),
        _calibration(figures.get("calibration_ratio")),
    ]


def passed(verdicts: Sequence[Verdict]) -> bool:
    return all(verdict.passed for verdict in verdicts)


def in_words(verdicts: Sequence[Verdict]) -> str:
    """The outcome in one sentence for people."""
    failed = [verdict.rule for verdict in verdicts if not verdict.passed]
    if not failed:
        return "The model passed every rule of the gate."
    for words in RIVALS.values():
        if any(f"minus {words}" in rule for rule in failed):
            return f"This model is no better than {words}."
    return f"This model is held back: {failed[0]}."


def _is_anything(evidence: Mapping[str, Any]) -> Verdict:
    n, churned = evidence["n_rows"], evidence["n_churned"]
    rivals = [name for name in RIVALS if name in evidence["differences"]]
    found = f"{evidence['n_origins']} origins, {n:,.0f} rows, {churned:,.0f} churned"
    is_there = evidence["n_origins"] >= 1 and 0 < churned < n and bool(rivals)
    found += "" if rivals else ", no rule to compare with"
    return Verdict(
        "there is something to judge", found, "churned and staying rows, and a rule to beat",
        is_there,
    )  # fmt: skip


def _beats_rivals(differences: Mapping[str, Any]) -> list[Verdict]:
    return [
        _above_zero(f"{title} minus {words}", differences[rival][figure])
        for rival, words in RIVALS.items()
        if rival in differences
        for figure, title in FIGURES.items()
    ]


def _above_zero(rule: str, found: Mapping[str, float | None]) -> Verdict:
    value, low, high = found["value"], found["low"], found["high"]
    said = "nothing that could be computed"
    if value is not None and low is not None and high is not None:
        said = f"{value:+.4f} ({low:+.4f} to {high:+.4f})"
    is_above = low is not None and low > 0
    return Verdict(rule, said, "a lower 95 % bound above 0", is_above)


def _skill(skill: float | None) -> Verdict:
    said = "nothing that could be computed" if skill is None else f"{skill:+.4f}"
    return Verdict(
        "log-loss skill against the base rate", said, "above 0", skill is not None and skill > 0
    )


def _calibration(ratio: float | None) -> Verdict:
    said = "nothing that could be computed" if ratio is None else f"{ratio:.3f}"
    is_within = ratio is not None and RATIO_LOW <= ratio <= RATIO_HIGH
    return Verdict("predicted / actual", said, f"{RATIO_LOW} to {RATIO_HIGH}", is_within)


def _against_champion(found: Mapping[str, Any] | None) -> list[Verdict]:
    """Not worse by more than the margin, and better in most origins where the two differ at all.

    The same recipe fitted on newer rows is the same contestant at every origin: it replaces the
    champion as a renewal.
    """
    if found is None:
        return []
    margin = MARGIN_SHARE * found["average_precision"]
    differing = [d for d in found["by_origin"] if d != 0]
    n_better, n_needed = sum(d > 0 for d in differing), math.ceil(BETTER_SHARE * len(differing))
    by_origin = f"better in {n_better} of {len(differing)} origins"
    if not differing:
        by_origin = "the same recipe at every origin"
    return [
        Verdict(
            "average precision minus the champion's",
            f"{found['difference']:+.4f}",
            f"not below -{margin:.4f} (1 % of the champion's)",
            found["difference"] >= -margin,
        ),
        Verdict(
            "better than the champion in most origins",
            by_origin,
            f"better in {n_needed} of {len(differing)}",
            n_better >= n_needed,
        ),
    ]


def _chance(found: Mapping[str, float] | None) -> Verdict:
    rule = "the same training on shuffled labels"
    if found is None:
        return Verdict(rule, "not tried", "a ROC AUC of .5 ± 3 standard errors", False)
    auc, error = found["roc_auc"], found["standard_error"]
    needed = f"a ROC AUC of .5 ± {MAX_ERRORS * error:.3f} (3 standard errors)"
    return Verdict(rule, f"{auc:.3f}", needed, abs(auc - 0.5) <= MAX_ERRORS * error)


def _untouched(unchanged: bool | None) -> Verdict:
    said = {True: "no byte of the scores changed", False: "scores changed", None: "not tried"}
    return Verdict(
        "events after the snapshot, or arriving after it",
        said[unchanged],
        "no byte of the scores changes",
        unchanged is True,
    )


def _spread_over_features(found: Mapping[str, Any], allowed: Sequence[str]) -> Verdict:
    name, share = found["feature"], found["share"]
    return Verdict(
        "share of the contributions in one feature",
        f"{share:.0%} in {name}" + (" (allowed)" if name in allowed else ""),
        f"at most {MAX_FEATURE_SHARE:.0%}, or promote.allowed=[{name}] after looking at it",
        share <= MAX_FEATURE_SHARE or name in allowed,
    )
