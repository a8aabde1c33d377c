"""Whom the lists of a backtest reach: by group, how steadily, and how long before they left."""

from typing import Any

import numpy as np
import pandas as pd

from churn.learning import metrics
from churn.learning.backtest import MODEL, Backtest

WARNED_DAYS = 14

TENURE_BANDS = {"under 8 weeks": 56, "8 to 26 weeks": 182, "26 to 52 weeks": 364}
OLDEST = "over 52 weeks"


def groups(found: Backtest, *, min_churned: int) -> list[dict[str, Any]]:
    """The model's figures and who gets help, by group and level.

    `listed_share` is the share of rows on the list, `recall_at_list` that of the churned who were.
    Groups with fewer than `min_churned` churned or staying rows are counted and not judged: their
    figures are None.
    """
    rows = found.rows.assign(is_listed=found.on_list(), risk=found.risk)
    result = []
    for column in [name for name in rows.columns if name.startswith("by_")]:
        for level, part in rows.groupby(column, dropna=False, sort=True):
            name = "unknown" if pd.isna(level) else str(level)
            counted = {"group": column.removeprefix("by_"), "level": name}
            result.append(counted | _group(part, min_churned=min_churned))
    return result


def _group(part: pd.DataFrame, *, min_churned: int) -> dict[str, Any]:
    label = part["label"].to_numpy(dtype=float)
    is_listed, n_churned = part["is_listed"].to_numpy(), int(label.sum())
    is_judged = min(n_churned, len(part) - n_churned) >= min_churned
    figures: dict[str, Any] = dict.fromkeys(
        ("churn_rate", "listed_share", "precision_at_list", "recall_at_list",
         "calibration_ratio", "roc_auc", "average_precision")
    )  # fmt: skip
    if is_judged:
        whole = metrics.evaluate(
            label, part["risk"].to_numpy(), snapshot=part["snapshot"], list_share=1.0
        )
        hits = float(label[is_listed].sum())
        figures |= {name: whole[name] for name in figures if name in whole}
        figures |= {
            "churn_rate": float(label.mean()),
            "listed_share": float(is_listed.mean()),
            "precision_at_list": hits / is_listed.sum() if is_listed.any() else None,
            "recall_at_list": hits / n_churned,
        }
    n_customers = int(part["customer_id"].nunique())
    return {
        "n_rows": len(part), "n_customers": n_customers, "n_churned": n_churned,
        "is_judged": is_judged, **figures,
    }  # fmt: skip


def turnover(found: Backtest, *, name: str = MODEL) -> float | None:
    """Share of a list that was not on the list of the snapshot before, mean over the lists."""
    listed = found.rows[found.on_list(name)].groupby("snapshot")["customer_id"].agg(set)
    shares = [
        len(now - before) / len(now)
        for before, now in zip(listed.iloc[:-1], listed.iloc[1:], strict=True)
    ]
    return float(np.mean(shares)) if shares else None


def lead_time(
    found: Backtest, churned_on: pd.DataFrame, *, name: str = MODEL
) -> dict[str, float | int | None]:
    """How long before they left the churned had first stood on the list.

    `churned_on` has snapshot, customer_id and the day on which a churned row's customer left. Only
    customers who left at least 14 days after the first list count: nobody could have warned of
    the others in time. A customer who was never listed before leaving was not warned.
    """
    rows = found.rows[["snapshot", "customer_id", "label"]].assign(is_listed=found.on_list(name))
    dated = rows.merge(churned_on, on=["snapshot", "customer_id"], how="left")
    dated = dated[(dated["label"] == 1) & dated["churned_on"].notna()]
    left = pd.to_datetime(dated.groupby("customer_id")["churned_on"].max())
    first = pd.Timestamp(min(rows["snapshot"]))
    left = left[left >= first + pd.Timedelta(days=WARNED_DAYS)]
    entered = rows[rows["is_listed"]].groupby("customer_id")["snapshot"].min()
    days = (left - pd.to_datetime(entered.reindex(left.index))).dt.days
    warned = days[days > 0]
    return {
        "n_left": len(left),
        "n_listed_before": len(warned),
        "median_days": float(warned.median()) if len(warned) else None,
        "warned_share": float((days >= WARNED_DAYS).sum() / len(left)) if len(left) else None,
    }


def grouped(test: pd.DataFrame, train: pd.DataFrame, *, is_whole: bool = True) -> pd.DataFrame:
    """`test` with the groups that its own columns tell: tenure band, contract, newcomers.

    A newcomer started after the last training snapshot; where no tenure is known, is a customer
    of whom training had no row, which nobody can tell of a `train` that is not whole.
    """
    found = test.copy()
    last = pd.Timestamp(max(train["snapshot"])) if len(train) else None
    tenure = test["tenure_days"].astype(float) if "tenure_days" in test else None
    if tenure is not None:
        edges = [-np.inf, *TENURE_BANDS.values(), np.inf]
        band = pd.cut(tenure, edges, right=False, labels=[*TENURE_BANDS, OLDEST])
        found["by_tenure"] = band.astype(object)
    if last is not None and (is_whole or tenure is not None):
        unseen = ~test["customer_id"].isin(set(train["customer_id"]))
        since = (pd.to_datetime(test["snapshot"]) - last).dt.days
        is_new = unseen if tenure is None else (tenure < since)
        found["by_newcomer"] = np.where(is_new, "joined after training", "known to training")
    if "plan" in test:
        found["by_contract"] = test["plan"].astype(object)
    return found
