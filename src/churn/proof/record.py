"""What verdicts and outcomes say of a family of reasons, and of the play it suggests."""

import pandas as pd

VERDICTS = ("right", "wrong reason", "already known", "data error", "out of our hands")

MISTAKEN = ("wrong reason", "data error")
"""Verdicts that speak against the reason itself; the others say that it was true, but no help."""


def by_family(outcomes: pd.DataFrame) -> pd.DataFrame:
    """One row per `family`: how often each verdict was given, `n_verdicts`, and `share_right`, the
    share of those which do not say that the reason was mistaken (null without a verdict).

    `outcomes` as in contracts.OUTCOMES; the last verdict of each list and customer counts once.
    """
    judged = outcomes[outcomes["verdict"].notna() & outcomes["family"].notna()]
    counts = pd.crosstab(judged["family"], judged["verdict"]) if len(judged) else pd.DataFrame()
    counts = counts.reindex(columns=list(VERDICTS), fill_value=0)
    counts["n_verdicts"] = counts.sum(axis=1)
    mistaken = counts[list(MISTAKEN)].sum(axis=1)
    counts["share_right"] = 1 - mistaken / counts["n_verdicts"]
    return counts.rename_axis("family").rename_axis(columns=None).reset_index()


def by_play(outcomes: pd.DataFrame, became: pd.DataFrame) -> pd.DataFrame:
    """One row per `play` (the family it belongs to): `n_suggested`, `n_contacted`, of those contacted
    `n_settled` (it is known what became of them), `n_stayed`, and `share_stayed` of the settled.

    `became`: as_of, customer_id, `churned` (1 or 0, null while the days after the list are not over).
    """
    known = became.drop_duplicates(["as_of", "customer_id"])[["as_of", "customer_id", "churned"]]
    last = outcomes.drop_duplicates(["as_of", "customer_id"], keep="last")
    rows = last[last["play"].notna()].merge(known, on=["as_of", "customer_id"], how="left")
    contacted = rows["contacted"].eq(True)
    settled = contacted & rows["churned"].notna()
    counted = pd.DataFrame(
        {
            "play": rows["play"],
            "n_suggested": 1,
            "n_contacted": contacted.astype(int),
            "n_settled": settled.astype(int),
            "n_stayed": (settled & rows["churned"].eq(0)).astype(int),
        }
    )
    found = counted.groupby("play", as_index=False).sum()
    found["share_stayed"] = found["n_stayed"] / found["n_settled"].where(found["n_settled"] > 0)
    return found
