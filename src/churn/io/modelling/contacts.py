"""Which contacts changed what a model is to learn: those of our lists, or of the source as well."""

import logging
from datetime import date

import pandas as pd

from churn.io import records
from churn.io.workspace import Workspace
from churn.learning import contacted
from churn.proof import outcomes
from churn.settings import Settings

log = logging.getLogger("churn")


def weighted(settings: Settings, rows: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """`rows` of a panel with a column `weight`, such that contacted customers count as if nobody had
    called (see `contacted.weights`); as they are where no contact touched a row.

    What was recorded and assigned by `as_of` is used. Which contacts count says `train.contacted`.
    """
    found = _contacts(settings, as_of)
    if found.empty:
        return rows
    assigned = records.assignments(settings.place)
    assigned = assigned[assigned["as_of"] < as_of]
    touched = contacted.treated(
        rows,
        found,
        assigned,
        effect_days=settings.impact.effect_days,
        gap_days=settings.churn.gap_days,
        horizon_days=settings.churn.horizon_days,
    )
    if not touched.share.any():
        return rows
    label = rows["label"].to_numpy(dtype=float)
    saved = contacted.saved_share(label, touched, assumed=settings.retain.save_rate)
    log.info(
        "contacts touched %.1f %% of the rows; as %d rows of held-out customers have it, one keeps "
        "%.0f %% of the leavers: the rows count as if nobody had been called",
        100 * (touched.share > 0).mean(),
        (touched.arm == "holdout").sum(),
        100 * saved,
    )
    return rows.assign(weight=contacted.weights(label, touched, saved=saved))


def _contacts(settings: Settings, as_of: date) -> pd.DataFrame:
    """customer_id and contacted_at of the contacts that count, as known at `as_of`."""
    columns = ["customer_id", "contacted_at"]
    if settings.train.contacted == "ignore":
        return pd.DataFrame(columns=columns)
    own = outcomes.as_contacts(records.outcomes(settings.place, by=as_of))
    if settings.train.contacted == "lists":
        return own[columns]
    others = Workspace(settings.place, settings.arrival(as_of)).contacts(as_of)
    return pd.concat([others[columns], own[columns]], ignore_index=True)
