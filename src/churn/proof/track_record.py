"""What became of earlier lists, beside what simpler lists of the same size would have caught."""

from datetime import date, timedelta

import numpy as np
import pandas as pd

COLUMNS = ("as_of", "size", "expected", "left", "silent_left", "random_left", "settled_on")


def past(
    listed: pd.DataFrame,
    scored: pd.DataFrame,
    became: pd.DataFrame,
    *,
    as_of: date,
    window_days: int,
) -> pd.DataFrame:
    """One row per list before `as_of`, the newest first (columns `COLUMNS`).

    `listed`: as_of, customer_id and `risk` of everybody on an earlier list; `scored`: as_of,
    customer_id and `recency_days` of everybody who was scored then (dates may be missing); `became`:
    as_of, customer_id and `label` (1 left in the label window, 0 did not), as known at `as_of`.
    `window_days` is gap + horizon.

    `expected` leavers are the sum of the calibrated risks; `left` is None until the list's label window
    is over on `settled_on`, and so are `silent_left` and `random_left`: who would have left of as many
    customers chosen by the longest silence (ties share, never seen = longest), and of as many drawn at
    random. Those two are None as well where nobody knows any more who was scored.
    """
    days = sorted({day for day in listed["as_of"] if day < as_of}, reverse=True)
    labels = dict(list(became.groupby("as_of")))
    everybody = dict(list(scored.groupby("as_of")))
    found = []
    for day in days:
        members = listed[listed["as_of"] == day]
        settled_on = day + timedelta(days=window_days)
        row = {"as_of": day, "size": len(members), "expected": members["risk"].sum()}
        rest = _outcome(members, everybody.get(day), labels.get(day), settled_on <= as_of)
        found.append({**row, **rest, "settled_on": settled_on})
    return pd.DataFrame(found, columns=list(COLUMNS), dtype=object)


def _outcome(
    members: pd.DataFrame,
    scored: pd.DataFrame | None,
    became: pd.DataFrame | None,
    is_settled: bool,
) -> dict[str, float | int | None]:
    nothing = dict.fromkeys(("left", "silent_left", "random_left"))
    if not is_settled or became is None:
        return dict(nothing)
    label = became.set_index("customer_id")["label"]
    left = int(members["customer_id"].map(label).fillna(0).sum())
    if scored is None or scored.empty:
        return {**nothing, "left": left}
    everybody = scored["customer_id"].map(label).fillna(0).to_numpy(dtype=float)
    silence = scored["recency_days"].fillna(np.inf).to_numpy(dtype=float)
    size = min(len(members), len(scored))
    return {
        "left": left,
        "silent_left": _caught(silence, everybody, size),
        "random_left": float(size * everybody.mean()),
    }


def _caught(score: np.ndarray, label: np.ndarray, size: int) -> float:
    """How many leavers the `size` customers with the highest score hold; who ties at the cut shares."""
    if size == 0:
        return 0.0
    cut = np.sort(score)[-size]
    above = score > cut
    ties = score == cut
    return float(label[above].sum() + (size - above.sum()) * label[ties].mean())
