"""The model card: what a model is, what it was taught, how well it did, and whether that is enough."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, TypeVar

from churn.features.labels import INVOLUNTARY_DAYS, Definition
from churn.learning import gate, titles
from churn.learning.gate import Verdict
from churn.learning.titles import TITLES

T = TypeVar("T")

COLUMNS = (
    ("roc_auc", "ROC AUC", "{:.3f}"),
    ("average_precision", "AP", "{:.3f}"),
    ("precision_at_list", "precision", "{:.3f}"),
    ("recall_at_list", "recall", "{:.3f}"),
    ("f1_at_list", "F1", "{:.3f}"),
    ("lift_at_list", "lift", "{:.2f}"),
    ("log_loss", "log loss", "{:.4f}"),
    ("log_loss_skill", "skill", "{:+.3f}"),
    ("calibration_ratio", "predicted/actual", "{:.2f}"),
    ("calibration_slope", "slope", "{:.2f}"),
)
WITH_INTERVALS = (
    ("average_precision", "AP"), ("lift_at_list", "lift"), ("roc_auc", "ROC AUC"),
    ("log_loss_skill", "skill"), ("calibration_ratio", "predicted/actual"),
)  # fmt: skip
NO_FIGURES = (
    "No test figures: the log is too short to keep a snapshot back for testing. "
    "Nothing is known yet about how good this model is."
)
LIMITS = (
    "The figures are about customers who stayed or left without help from this list; contacting "
    "them changes what they mean. Whether contacting helps is another question.",
    "A risk is about groups: of 100 customers with a risk of 30 %, about 30 leave. It is no "
    "judgement about a person, and no reason to serve anybody worse.",
    "Who is never listed gets no help. Look at the groups above before the list decides who is called.",
    "A new product, price or season that the log has not seen is unknown to the model.",
    "Figures were found on this log alone. On another one they have to be found again.",
)


def text(
    version: str,
    record: Mapping[str, Any],
    *,
    churn: Mapping[str, Any],
    allowed: Sequence[str] = (),
) -> str:
    """The card of one model from its record; the same model gives the same text."""
    snapshots = record["training_snapshots"]
    learnt_from = [
        f"{len(snapshots)} snapshots from {snapshots[0]} to {snapshots[-1]}",
        f"{record['n_rows']:,} rows, {record['base_rate']:.2%} churned",
        f"{record['n_features']} features",
        *_involuntary(record.get("involuntary_share")),
        *(f"{name}: {value}" for name, value in record.get("data", {}).items()),
    ]
    judged = gate.judge(record.get("evidence"), allowed=allowed)
    parts = [
        f"# Churn model {version}",
        _recipe(record),
        f"**{gate.in_words(judged)}**",
        "## What counts as churn\n\n"
        + f"A customer who {Definition(**churn).in_words()}.\n\n"
        + _bullets(f"{k}: {v}" for k, v in churn.items()),
        "## What it learnt from\n\n" + _bullets(learnt_from),
        "## How well it did on later snapshots\n\n" + figures(record),
        "## The gate\n\n" + "\n".join(verdicts(judged)),
    ]
    if record["test"] is not None:
        parts += [
            "## What the figures mean\n\n"
            + _bullets(f"{name}: {unit}" for name, unit in titles.UNITS.items()),
            *_by_origin(record["test"]),
            *_warning(record["test"]),
            *_ablation(record.get("ablation")),
            *_groups(record["test"]),
        ]
    parts.append("## Known limits and harms\n\n" + _bullets(LIMITS))
    parts.append(
        "## Run it again\n\nThe resolved configuration lies beside the model: "
        f"`{command(version)}`, with WORKSPACE as it was given."
    )
    return "\n\n".join(parts) + "\n"


def command(version: str) -> str:
    """What repeats the training of a model."""
    return f"churn run params=WORKSPACE/cards/{version}.yaml"


def _involuntary(share: float | None) -> list[str]:
    if share is None:
        return []
    return [
        f"{share:.1%} of those who churned left within {INVOLUNTARY_DAYS} days of a failed payment: "
        "they may not have decided to leave"
    ]


def page(card: str, pictures: Mapping[str, bytes]) -> str:
    """The card as one HTML file with its pictures in it, for people without a Markdown viewer."""
    shown = "\n".join(
        f'<img alt="{escape(name)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'
        for name, data in pictures.items()
    )
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        f"<title>{escape(card.splitlines()[0].lstrip('# '))}</title>\n<style>{STYLE}</style>\n"
        + "\n".join(_html(block) for block in card.strip().split("\n\n"))
        + f"\n{shown}\n</html>\n"
    )


SIGNS, LONGEST_FIGURE = tuple("+-0123456789"), 30

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;display:block;overflow-x:auto;margin:1rem 0}"
    "td,th{border-bottom:1px solid #ddd;padding:.3rem .6rem;text-align:right;font-size:.9rem}"
    ".figure{white-space:nowrap}td:first-child,th:first-child{text-align:left}"
    "img{max-width:100%;margin:1rem 0}"
)


def figures(record: Mapping[str, Any]) -> str:
    """The figures of the model and its rivals as Markdown tables, with what they rest on."""
    test = record["test"]
    if test is None:
        return NO_FIGURES
    model, origins = test["figures"]["model"], test["origins"]
    intro = (
        f"{len(origins)} origins from {origins[0]['at']} to {origins[-1]['at']}, "
        f"{len(test['snapshots'])} test snapshots: {model['n_rows']:,.0f} rows, "
        f"{model['n_churned']:,.0f} churned; precision, recall, F1 and lift for lists of "
        f"{model['n_list']:,.0f} places in all. At each origin everything was fitted anew on "
        "outcomes known by then; the model above learnt from all."
    )
    parts = [intro, "\n".join(table(test["figures"]))]
    evidence = record.get("evidence")
    if evidence:
        parts.append("\n".join(intervals(evidence["intervals"])))
        parts.append("\n".join(differences(evidence["differences"])))
    return "\n\n".join(parts)


def table(by_name: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Lines of a Markdown table, one contestant a line."""
    rows = [["", *(title for _, title, _ in COLUMNS)]]
    for name, found in _ordered(by_name).items():
        cells = [pattern.format(found[k]) if k in found else "–" for k, _, pattern in COLUMNS]
        rows.append([TITLES.get(name, name), *cells])
    return aligned(rows)


def differences(by_rival: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> list[str]:
    """Lines of a table: the model minus each rival, with 95 % intervals by customer."""
    shown = (("average_precision", "AP"), ("lift_at_list", "lift"), ("roc_auc", "ROC AUC"))
    rows = [["model minus", *(title for _, title in shown)]]
    for name, found in _ordered(by_rival).items():
        rows.append([TITLES.get(name, name), *(with_interval(found[key]) for key, _ in shown)])
    return aligned(rows)


def intervals(by_name: Mapping[str, Any]) -> list[str]:
    """Lines of a table: each contestant's figures with 95 % intervals by customer."""
    rows = [["with 95 % intervals", *(title for _, title in WITH_INTERVALS)]]
    for name, found in _ordered(by_name).items():
        cells = [_spelled(found[key]) for key, _ in WITH_INTERVALS]
        rows.append([TITLES.get(name, name), *cells])
    return aligned(rows)


def _spelled(found: Mapping[str, float | None]) -> str:
    if found["value"] is None or found["low"] is None:
        return "–"
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def lists(
    turnovers: Mapping[str, float | None], lead_times: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Lines of a table: how much each contestant's list changes, and how early it warned."""
    heads = ["new on each list", "left", "listed before", "median days", "≥ 14 days before"]
    rows = [["", *heads]]
    for name, found in _ordered(lead_times).items():
        new, days, share = turnovers[name], found["median_days"], found["warned_share"]
        cells = [
            "–" if new is None else f"{new:.0%}",
            f"{found['n_left']:,}",
            f"{found['n_listed_before']:,}",
            "–" if days is None else f"{days:.0f}",
            "–" if share is None else f"{share:.1%}",
        ]
        rows.append([TITLES.get(name, name), *cells])
    return aligned(rows)


def _ordered(by_name: Mapping[str, T]) -> dict[str, T]:
    """Contestants as they are introduced everywhere, guests last."""
    known = [name for name in TITLES if name in by_name]
    return {name: by_name[name] for name in [*known, *sorted(set(by_name) - set(known))]}


def verdicts(found: Sequence[Verdict]) -> list[str]:
    """Lines of a table: each rule of the gate, what was found and what is needed."""
    rows = [["rule", "found", "needed", ""]]
    rows += [[v.rule, v.found, v.needed, "holds" if v.passed else "REFUSED"] for v in found]
    return aligned(rows)


def with_interval(found: Mapping[str, float | None]) -> str:
    value, low, high = found["value"], found["low"], found["high"]
    if value is None:
        return "–"
    return f"{value:+.3f}" + ("" if low is None else f" ({low:+.3f} to {high:+.3f})")


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows (the first is the head) as the lines of a Markdown table."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [_line(row, widths) for row in rows]
    rule = (
        "|" + "|".join("-" * (w + 1) + ("-" if k == 0 else ":") for k, w in enumerate(widths)) + "|"
    )
    return [lines[0], rule, *lines[1:]]


def groups(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of a table: the model by group; groups too small to judge are counted only."""
    shown = (
        ("churn_rate", "{:.1%}"), ("listed_share", "{:.1%}"), ("recall_at_list", "{:.1%}"),
        ("precision_at_list", "{:.1%}"), ("calibration_ratio", "{:.2f}"), ("roc_auc", "{:.3f}"),
    )  # fmt: skip
    heads = ["churned", "listed", "of churned listed", "of listed churned", "predicted/actual"]
    rows = [["group", "rows", "customers", *heads, "ROC AUC"]]
    for one in found:
        cells = [
            pattern.format(one[key]) if one.get(key) is not None else "–" for key, pattern in shown
        ]
        if not one["is_judged"]:
            cells = [f"too few to judge ({one['n_churned']} churned)", *["–"] * (len(shown) - 1)]
        counted = [f"{one['n_rows']:,}", f"{one['n_customers']:,}"]
        rows.append([f"{one['group']}: {one['level']}", *counted, *cells])
    return aligned(rows)


def _by_origin(test: Mapping[str, Any]) -> list[str]:
    rows = [["origin", "learnt from", "rows", "churned", "AP", "ROC AUC", "predicted/actual"]]
    for one in test["origins"]:
        model = one["figures"]["model"]
        first, last = one["training_snapshots"][0], one["training_snapshots"][-1]
        cells = [f"{model[k]:.3f}" if k in model else "–"
                 for k in ("average_precision", "roc_auc", "calibration_ratio")]  # fmt: skip
        counted = [f"{model['n_rows']:,.0f}", f"{model['n_churned']:,.0f}"]
        rows.append([one["at"], f"{first} to {last}", *counted, *cells])
    return ["## The model by origin\n\n" + "\n".join(aligned(rows))]


def _warning(test: Mapping[str, Any]) -> list[str]:
    """How long before they left the churned stood on the list, where that could be found out."""
    by_name = test.get("lead_times")
    if not by_name or not by_name["model"]["n_left"]:
        return [
            "## Lead time\n\nNot known: no list of the test weeks is 14 days older than anybody who left."
        ]
    lead = by_name["model"]
    said = (
        f"Of {lead['n_left']:,} customers who left in the test weeks, {lead['n_listed_before']:,} had "
        "stood on a list before"
    )
    if lead["median_days"] is not None:
        said += f", half of them for {lead['median_days']:.0f} days or more"
    said += f"; {lead['warned_share']:.1%} were listed at least 14 days before they left."
    return [f"## Lead time\n\n{said}\n\n" + "\n".join(lists(test["turnovers"], by_name))]


FIRST = "average_precision"


def _ablation(found: Mapping[str, Mapping[str, Any]] | None) -> list[str]:
    """What each family is worth, or how to find out."""
    head = "## What each family of features is worth\n\n"
    if found is None:
        return [
            f"{head}Not asked for, since it takes as many trainings as there are families: "
            "`train.ablation=true` with the command below."
        ]
    rows = [["family", "features", "AP", "ROC AUC"]]
    for name, one in sorted(found.items(), key=lambda item: -(item[1][FIRST]["value"] or 0.0)):
        shown = (with_interval(one[key]) for key in (FIRST, "roc_auc"))
        rows.append([name, f"{one['n_features']}", *shown])
    said = (
        "With all features minus without the family, the same recipe uncalibrated at the same origins "
        "of one panel; 95 % intervals by customer. An interval that holds 0: the family may be worth "
        "nothing here, or others say the same."
    )
    return [f"{head}{said}\n\n" + "\n".join(aligned(rows))]


def _groups(test: Mapping[str, Any]) -> list[str]:
    if not test["groups"]:
        return []
    return ["## Who gets help, by group\n\n" + "\n".join(groups(test["groups"]))]


def _recipe(record: Mapping[str, Any]) -> str:
    """What was fitted, and how much calibration believes each part of it."""
    kind, calibration = record["recipe"]["model"], record["calibration"]
    if record.get("rule"):
        return (
            f"No model: a rule, {TITLES.get(record['rule'], record['rule'])}. What follows is about "
            f"the {kind} that did not pass the gate."
        )
    terms = [f"{weight:.3f} × member {k}" for k, weight in enumerate(calibration["weights"], 1)]
    parts = {"blend": ("trees", "regression"), "lightgbm": ("trees",), "logistic": ("regression",)}
    if len(parts.get(kind, ())) == len(calibration["weights"]):
        named = zip(parts[kind], calibration["weights"], strict=True)
        terms = [f"{weight:.3f} × {part}" for part, weight in named]
    return f"Recipe: {kind}. Log-odds = {calibration['intercept']:.3f} + {' + '.join(terms)}."


def _html(block: str) -> str:
    """One block of the card (heading, list, table, paragraph) as HTML."""
    lines = block.splitlines()
    if block.startswith("#"):
        level = len(block) - len(block.lstrip("#"))
        return f"<h{level}>{_inline(block.lstrip('# '))}</h{level}>"
    if block.startswith("- "):
        return "<ul>" + "".join(f"<li>{_inline(line[2:])}</li>" for line in lines) + "</ul>"
    if block.startswith("|"):
        cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
        head, *body = [row for k, row in enumerate(cells) if k != 1]
        return f"<table>{_row(head, 'th')}{''.join(_row(row, 'td') for row in body)}</table>"
    return f"<p>{_inline(block)}</p>"


def _row(cells: Sequence[str], tag: str) -> str:
    """Figures stay on one line; words may break, so that no column is pushed out of sight."""
    shown = []
    for cell in cells:
        kind = ' class="figure"' if cell[:1] in SIGNS and len(cell) <= LONGEST_FIGURE else ""
        shown.append(f"<{tag}{kind}>{_inline(cell)}</{tag}>")
    return f"<tr>{''.join(shown)}</tr>"


def _inline(words: str) -> str:
    for mark, tag in (("**", "strong"), ("`", "code")):
        parts = words.split(mark)
        words = "".join(
            part if k % 2 == 0 else f"\0{tag}\1{part}\0/{tag}\1" for k, part in enumerate(parts)
        )
    return escape(words).replace("\0", "<").replace("\1", ">")


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = f"| {cells[0]:<{widths[0]}} "
    rest = "".join(f"| {c:>{w}} " for c, w in zip(cells[1:], widths[1:], strict=True))
    return f"{first}{rest}|"
