"""`churn outcomes`: what CS recorded on its lists → checked, merged into `outcomes/`."""

import glob
import logging
from pathlib import Path

import pandas as pd

from churn.errors import ConfigurationError, InputError
from churn.io import records
from churn.io.feedback import answers, sql_feedback
from churn.io.lock import held
from churn.io.workspace import Workspace
from churn.proof import outcomes
from churn.settings import Settings

log = logging.getLogger("churn")


def run(settings: Settings) -> None:
    """Merge what was filled in into `outcomes/`, stamped with `as_of`; twice the same file is once."""
    rows = _filled_in(settings)
    as_of = settings.as_of_or_last(Workspace(settings.place).usage_facts())
    with held(settings.place, doing="outcomes"):
        days = {day for day in rows["as_of"] if day <= as_of}
        accepted = outcomes.accepted(rows, records.lists(settings.place, days))
        known = records.outcomes(settings.place)
        merged = outcomes.merged(known, accepted, recorded_as_of=as_of)
        records.keep_outcomes(settings.place, merged)
    log.info(
        "took in %d rows of %d lists: %d contacted, %d with an outcome, %d verdicts; %d recorded in all",
        len(accepted),
        accepted["list_id"].nunique(),
        accepted["contacted"].eq(True).sum(),
        accepted["outcome"].notna().sum(),
        accepted["verdict"].notna().sum(),
        len(merged),
    )


def _filled_in(settings: Settings) -> pd.DataFrame:
    """Everything that the files, or the table, say, files in the order of their names."""
    asked = settings.outcomes
    if bool(asked.files) == bool(asked.table):
        raise ConfigurationError(
            "what to import is not clear",
            got=f"outcomes.files={asked.files} outcomes.table={asked.table}",
            expected="one of them",
            next_step="set outcomes.files='back/*.xlsx', or outcomes.table=SCHEMA.TABLE",
        )
    if asked.table:
        return sql_feedback.read(asked.url_variable, asked.table)
    paths = sorted(glob.glob(asked.files, recursive=True))
    if not paths:
        raise InputError(
            "outcomes.files matches no file",
            got=asked.files,
            expected="at least one filled-in list",
            next_step="quote the pattern, and give it as seen from where you run the command",
        )
    return pd.concat([answers.read(Path(path)) for path in paths], ignore_index=True)
