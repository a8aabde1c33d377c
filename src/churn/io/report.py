"""A backtest in words: the table that `churn backtest` prints, as Markdown."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from churn.features.labels import Definition
from churn.io import model_card
from churn.learning.baselines import TITLES
from churn.learning.gate import Verdict

SHOWN = (
    ("average_precision", "AP"), ("lift_at_list", "lift"), ("roc_auc", "ROC AUC"),
    ("log_loss_skill", "skill"), ("calibration_ratio", "predicted/actual"),
)  # fmt: skip


def markdown(summary: Mapping[str, Any], *, churn: Definition, as_of: date) -> str:
    """The whole report."""
    origins = summary["origins"]
    model = summary["figures"]["model"]
    parts = [
        f"# Backtest at {as_of}",
        f"A customer who {churn.in_words()}. {len(origins)} origins from {origins[0]['at']} to "
        f"{origins[-1]['at']}: {model['n_rows']:,.0f} rows, {model['n_churned']:,.0f} churned "
        f"({model['base_rate']:.1%}). At each origin event types, topics, models and calibration were "
        "learnt anew from what was known on that day. Intervals: 95 %, by bootstrap over customers.",
        "## Pooled\n\n" + "\n".join(model_card.table(summary["figures"])),
        "## With intervals\n\n" + "\n".join(_intervals(summary["intervals"])),
        "## The model minus each rival, paired\n\n"
        + "\n".join(model_card.differences(summary["differences"])),
        "## By origin: average precision\n\n" + "\n".join(_by_origin(summary)),
        "## Lists\n\n" + "\n".join(_lists(summary)),
    ]
    if summary["groups"]:
        parts.append("## By group\n\n" + "\n".join(model_card.groups(summary["groups"])))
    for name, verdicts in summary["gate"].items():
        head = f"## What the gate would say of {TITLES.get(name, name)}, on these figures\n\n"
        parts.append(head + "\n".join(model_card.verdicts([Verdict(**v) for v in verdicts])))
    if summary["left_out"]:
        said = [f"- {TITLES.get(name, name)}: {why}" for name, why in summary["left_out"].items()]
        parts.append("## Left out\n\n" + "\n".join(said))
    return "\n\n".join(parts) + "\n"


def flat(summary: Mapping[str, Any]) -> dict[str, float]:
    """The figures by dotted name, for a tracker."""
    found = {
        f"{name}.{key}": value
        for name, figures in summary["figures"].items()
        for key, value in figures.items()
    }
    for rival, figures in summary["differences"].items():
        for key, value in figures["average_precision"].items():
            if value is not None:
                found[f"model_minus_{rival}.average_precision_{key}"] = value
    return found


def _intervals(by_name: Mapping[str, Any]) -> list[str]:
    rows = [["", *(title for _, title in SHOWN)]]
    for name, found in by_name.items():
        cells = [_spelled(found[key]) for key, _ in SHOWN]
        rows.append([TITLES.get(name, name), *cells])
    return model_card.aligned(rows)


def _spelled(found: Mapping[str, float | None]) -> str:
    if found["value"] is None or found["low"] is None:
        return "–"
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def _by_origin(summary: Mapping[str, Any]) -> list[str]:
    origins = summary["origins"]
    rows = [["", *(one["at"] for one in origins), "spread (sd)"]]
    for name in summary["figures"]:
        found = [one["figures"][name].get("average_precision") for one in origins]
        spread = summary["spread"].get(name, {}).get("average_precision")
        cells = ["–" if value is None else f"{value:.3f}" for value in [*found, spread]]
        rows.append([TITLES.get(name, name), *cells])
    learnt = ["rows to learn from", *(f"{one['n_rows']:,}" for one in origins), ""]
    return model_card.aligned([*rows, learnt])


def _lists(summary: Mapping[str, Any]) -> list[str]:
    lead, rows = summary["lead_time"], []
    rows.append(
        ["", "new on each list", "left", "listed before", "median days", "≥ 14 days before"]
    )
    for name, turnover in summary["turnover"].items():
        found = lead[name]
        rows.append(
            [
                TITLES.get(name, name),
                "–" if turnover is None else f"{turnover:.0%}",
                f"{found['n_left']:,}",
                f"{found['n_listed_before']:,}",
                "–" if found["median_days"] is None else f"{found['median_days']:.0f}",
                "–" if found["warned_share"] is None else f"{found['warned_share']:.1%}",
            ]
        )
    return model_card.aligned(rows)
