"""How often the first reason of a customer who stays on the list is another one a week later.

    python benchmarks/reason_stability.py WORKSPACE/replay

Reads what `churn replay` left: per week `retention/` (who was listed), `reasons/` (which family came
first as raising the risk), `scored/` (the features) and `models/`. A feature moved a decile if its
place among everybody scored that week changed by a tenth or more (a null place, or another category,
is a move); only features that the model reads count. "none" is a customer without a single reason.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from churn.io import tables
from churn.retention.language import CONTRACT, RAISES, TERM_END
from churn.settings import Settings, spoken

MOVED = 0.1
NONE = "none"


def main(place: Path) -> None:
    pairs = pd.concat(list(changes(place)), ignore_index=True)
    pairs["is_same"] = pairs["before"] == pairs["after"]
    had = pairs[pairs["before"] != NONE]
    print(f"{pairs['week'].nunique()} pairs of weeks, {len(pairs):,} customers who stayed\n")
    print("| customers who stayed | n | same first reason |\n|---|---|---|")
    show("all", pairs)
    show("with a reason the week before", had)
    show("of those: no feature of its family moved a decile", had[~had["has_moved"]])
    show("of those: some feature moved", had[had["has_moved"]])
    show("with a reason, same model both weeks", had[~had["is_refit"]])
    show("with a reason, another model", had[had["is_refit"]])
    for family, part in had.groupby("before"):
        show(f"first reason {family}", part)
    print("\n| from | to | n |\n|---|---|---|")
    moves = had[~had["is_same"]].groupby(["before", "after"]).size().sort_values(ascending=False)
    for (before, after), n in moves.head(12).items():
        print(f"| {before} | {after} | {n} |")


def show(words: str, rows: pd.DataFrame) -> None:
    share = f"{rows['is_same'].mean():.1%}" if len(rows) else "-"
    print(f"| {words} | {len(rows):,} | {share} |")


def changes(place: Path):
    """Per pair of weeks: customer_id, before, after (families), has_moved, is_refit, week."""
    weeks = sorted(tables.names(place / "reasons"))
    voices = {  # what is about the end of a term is about the contract
        voice: {CONTRACT if family == TERM_END else family for family in families}
        for voice, families in spoken(Settings()).voices.items()
    }
    for one, other in pairwise(weeks):
        both = sorted(listed(place, one) & listed(place, other))
        before, after = first(place, one, both), first(place, other, both)
        model = version(place, other)
        spec = json.loads((place / "models" / model / "spec.json").read_text())
        family_of = {f["name"]: f["family"] for f in spec["features"]}
        columns = [c["name"] for c in spec["model"]["columns"]]
        moved = has_moved(place, one, other, both, columns)
        yield pd.DataFrame(
            {
                "week": other,
                "customer_id": both,
                "before": before,
                "after": after,
                "has_moved": [
                    any(
                        moved[name][row]
                        for name in columns
                        if family_of.get(name) in voices.get(family, ())
                    )
                    for row, family in enumerate(before)
                ],
                "is_refit": model != version(place, one),
            }
        )


def listed(place: Path, week: str) -> set[str]:
    return set(tables.read(place / "retention", made_by="retain", part=week)["customer_id"])


def first(place: Path, week: str, customers: list[str]) -> list[str]:
    rows = tables.read(place / "reasons", made_by="explain", part=week)
    raising = rows[rows["direction"] == RAISES].sort_values(["customer_id", "rank"])
    top = raising.drop_duplicates("customer_id").set_index("customer_id")["family"]
    return top.reindex(customers).fillna(NONE).tolist()


def version(place: Path, week: str) -> str:
    rows = tables.read(place / "scores", made_by="score", part=week, columns=["model_version"])
    return str(rows["model_version"].iloc[0])


def has_moved(
    place: Path, one: str, other: str, customers: list[str], columns: list[str]
) -> dict[str, np.ndarray]:
    """Per feature, whether it moved a decile for each of `customers`."""
    old, new = (
        tables.read(place / "scored", made_by="score", part=week).set_index("customer_id")
        for week in (one, other)
    )
    moved = {}
    for name in columns:
        if name not in old or name not in new:
            moved[name] = np.full(len(customers), True)
        elif not pd.api.types.is_numeric_dtype(new[name]):
            a, b = (frame[name].astype(str).reindex(customers) for frame in (old, new))
            moved[name] = (a != b).to_numpy()
        else:
            a, b = (frame[name].rank(pct=True).reindex(customers) for frame in (old, new))
            moved[name] = ((b - a).abs().ge(MOVED) | (a.isna() != b.isna())).to_numpy()
    return moved


if __name__ == "__main__":
    main(Path(sys.argv[1]))
