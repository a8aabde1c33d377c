"""What a play has come to, from what CS recorded (of verdicts: `retention.evidence.muted`)."""

import pandas as pd


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
