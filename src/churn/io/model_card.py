"""The model card: what a model is, what it was taught, and how well it did, in Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from churn.features.labels import INVOLUNTARY_DAYS
from churn.learning import metrics
from churn.learning.baselines import TITLES

COLUMNS = (
    ("roc_auc", "ROC AUC", "{:.3f}"),
    ("average_precision", "AP", "{:.3f}"),
    ("precision_at_list", "precision", "{:.3f}"),
    ("recall_at_list", "recall", "{:.3f}"),
    ("f1_at_list", "F1", "{:.3f}"),
    ("log_loss", "log loss", "{:.4f}"),
    ("calibration_ratio", "predicted/actual", "{:.2f}"),
)
NO_FIGURES = (
    "No test figures: the log is too short to keep a snapshot back for testing. "
    "Nothing is known yet about how good this model is."
)


def text(version: str, record: Mapping[str, Any], *, churn: Mapping[str, Any]) -> str:
    """The card of one model from its record; the same model gives the same text."""
    snapshots = record["training_snapshots"]
    learnt_from = [
        f"{len(snapshots)} snapshots from {snapshots[0]} to {snapshots[-1]}",
        f"{record['n_rows']:,} rows, {record['base_rate']:.2%} churned",
        f"{record['n_features']} features",
        *_involuntary(record.get("involuntary_share")),
    ]
    parts = [
        f"# Churn model {version}",
        _recipe(record),
        "## What counts as churn\n\n" + _bullets(f"{k}: {v}" for k, v in churn.items()),
        "## What it learnt from\n\n" + _bullets(learnt_from),
        "## How well it did on later snapshots\n\n" + figures(record),
    ]
    if record["test"] is not None:
        meanings = _bullets(f"{name}: {unit}" for name, unit in metrics.UNITS.items())
        parts.append("## What the figures mean\n\n" + meanings)
    return "\n\n".join(parts) + "\n"


def _involuntary(share: float | None) -> list[str]:
    if share is None:
        return []
    return [
        f"{share:.1%} of those who churned left within {INVOLUNTARY_DAYS} days of a failed payment: "
        "they may not have decided to leave"
    ]


def _recipe(record: Mapping[str, Any]) -> str:
    """What was fitted, and how much calibration believes each part of it."""
    kind, calibration = record["recipe"]["model"], record["calibration"]
    parts = {"blend": ("trees", "regression"), "lightgbm": ("trees",), "logistic": ("regression",)}
    terms = [
        f"{weight:.3f} × {part}"
        for part, weight in zip(parts[kind], calibration["weights"], strict=True)
    ]
    return f"Recipe: {kind}. Log-odds = {calibration['intercept']:.3f} + {' + '.join(terms)}."


def figures(record: Mapping[str, Any]) -> str:
    """The figures of the model and its rivals as a Markdown table, with what they rest on."""
    test = record["test"]
    if test is None:
        return NO_FIGURES
    model = test["figures"]["model"]
    intro = (
        f"Test snapshots {', '.join(test['snapshots'])}: {model['n_rows']:,.0f} rows, "
        f"{model['n_churned']:,.0f} churned; precision, recall and F1 for a list of "
        f"{model['n_list']:,.0f}. The judged model was fitted on {len(test['training_snapshots'])} "
        "snapshots whose outcomes were known by then; the one above learnt from all."
    )
    return intro + "\n\n" + "\n".join(table(test["figures"]))


def table(by_name: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Lines of a Markdown table, one contestant a line."""
    rows = [["", *(title for _, title, _ in COLUMNS)]]
    for name, found in by_name.items():
        cells = [pattern.format(found[k]) if k in found else "–" for k, _, pattern in COLUMNS]
        rows.append([TITLES.get(name, name), *cells])
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [_line(row, widths) for row in rows]
    rule = (
        "|" + "|".join("-" * (w + 1) + ("-" if k == 0 else ":") for k, w in enumerate(widths)) + "|"
    )
    return [lines[0], rule, *lines[1:]]


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = f"| {cells[0]:<{widths[0]}} "
    rest = "".join(f"| {c:>{w}} " for c, w in zip(cells[1:], widths[1:], strict=True))
    return f"{first}{rest}|"
