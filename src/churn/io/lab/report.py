"""A backtest in words: the table that `churn backtest` prints, as Markdown."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from churn.features.labels import Definition
from churn.io.lab import model_card
from churn.learning.gate import Verdict
from churn.learning.titles import TITLES


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
        "## With intervals\n\n" + "\n".join(model_card.intervals(summary["intervals"])),
        "## The model minus each rival, paired\n\n"
        + "\n".join(model_card.differences(summary["differences"])),
        "## By origin: average precision\n\n" + "\n".join(_by_origin(summary)),
        "## Lists\n\n" + "\n".join(model_card.lists(summary["turnover"], summary["lead_time"])),
    ]
    if summary.get("policies"):
        parts.append("## What to order a list by\n\n" + "\n".join(_policies(summary)))
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


def _policies(summary: Mapping[str, Any]) -> list[str]:
    """Value and customers that a list by each policy would have saved, per list."""
    heads = ["order by", "listed", "of them left", "worth a year", "customers saved", "value saved"]
    rows = [
        [
            one["policy"].replace("_", " × "),
            f"{one['n_listed']:,.0f}",
            f"{one['n_left']:,.1f}",
            f"{one['value_left']:,.0f}",
            f"{one['customers_saved']:,.1f}",
            f"{one['value_saved']:,.0f}",
        ]
        for one in summary["policies"]
    ]
    said = (
        "Means per list, if a contact keeps the share `retain.save_rate` of those who would leave."
    )
    return [said, "", *model_card.aligned([heads, *rows])]
