"""What a second revision of a week says that it changed."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from churn.errors import InputError
from churn.io import revisions

SCORES = "scores.parquet"


def changes(before: Path, folder: Path, *, manifest: dict[str, Any]) -> dict[str, Any]:
    """How the revision in `folder`, with its `manifest`, differs from the one at `before`: counts, and
    nobody's id.

    `files` that are others, `rows_used` more or fewer rows of the log, `risks` customers whose risk is
    another (or who are scored in one of the two alone), `joined` and `left` the list. Of a revision
    that is damaged nothing but its name is known.
    """
    try:
        old = revisions.manifest_of(before)
        trusted = {name: revisions.trusted(before, name) for name in (SCORES, revisions.LIST)}
    except InputError:
        return {"since": before.name}
    names = {*old["files"], *manifest["files"]}
    found = [name for name in names if old["files"].get(name) != manifest["files"].get(name)]
    risks, now = _risks(trusted[SCORES]), _risks(folder / SCORES)
    both = pd.concat([risks, now], axis=1, keys=["old", "new"])
    was, is_now = (
        set(_risks(path).index) for path in (trusted[revisions.LIST], folder / revisions.LIST)
    )
    return {
        "since": before.name,
        "files": sorted(found),
        "rows_used": manifest["counts"]["rows"]["used"] - old["counts"]["rows"]["used"],
        "risks": int((~(both["old"] == both["new"])).sum()),
        "joined": len(is_now - was),
        "left": len(was - is_now),
        "model_version": [old["model_version"], manifest["model_version"]],
        "known_at": [old["configuration"]["known_at"], manifest["configuration"]["known_at"]],
    }


def in_words(found: dict[str, Any]) -> str:
    """The changes in one line for the log."""
    if len(found) == 1:
        return f"since {found['since']}, which is damaged"
    return (
        f"since {found['since']}: {found['rows_used']:+,} rows, {found['risks']:,} risks changed, "
        f"{found['joined']:,} joined the list and {found['left']:,} left it"
    )


def _risks(path: Path) -> "pd.Series[Any]":
    rows = pq.read_table(path, columns=["customer_id", "risk"]).to_pandas()
    return rows.set_index("customer_id")["risk"]
