"""`churn explain`: reasons for everybody who is listed, or for `customer=ID`; what matters overall."""

import logging
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from churn import contracts
from churn.errors import ConfigurationError, nearest
from churn.features.definitions import Vocabulary
from churn.io import bundle, roster, tables
from churn.io.bundle import Bundle
from churn.io.engine import opened, resources
from churn.io.workspace import Workspace
from churn.learning import shapley
from churn.retention import ranking, reasons
from churn.settings import Settings, spoken
from churn.usage import history

log = logging.getLogger("churn")


def run(settings: Settings) -> None:
    """Write `reasons/` (part `as_of`) and the picture of global importance beside it."""
    as_of = settings.as_of_or_last(Workspace(settings.place).usage_facts())
    workspace = Workspace(settings.place, settings.arrival(as_of))
    champion = bundle.load(settings.place, "champion")
    part = as_of.isoformat()
    features = tables.read(workspace.folder("scored"), made_by="score", part=part)
    chosen = [settings.customer] if settings.customer else _listed(settings, as_of)
    facts = features.set_index("customer_id")
    _require_scored(chosen, facts)
    facts = facts.loc[chosen]
    said = reasons.with_own(spoken(settings), champion.features)
    use = Vocabulary(**champion.spec["panel"]["vocabulary"]).use
    with opened(resources(settings.engine), workspace.usage()) as engine:
        engine.bind("listed", pa.table({"customer_id": pa.array(chosen, pa.string())}))
        events = history.matrix(engine.table(history.days(as_of, use=use)).to_pandas(), chosen)
        facts["drop_began_days"] = reasons.drop_began_days(np.minimum(events, 1))
        engine.bind("facts", tables.arrow(facts.reset_index()))
        matching = engine.table(reasons.matches(said, list(facts.columns))).to_pandas()
    rows = reasons.sentences(
        reasons.by_voice(_by_family(champion, facts), said),
        facts,
        said,
        matching=matching.set_index("customer_id"),
        as_of=as_of,
    ).assign(as_of=as_of)[list(contracts.REASONS.columns)]
    if settings.customer:
        _tell(settings.customer, rows)
        return
    tables.write(workspace.folder("reasons"), {part: rows}, keep=True)
    _picture(champion, features, workspace, settings)
    log.info(
        "reasons for %d customers, %.1f sentences each",
        len(chosen),
        len(rows) / max(len(chosen), 1),
    )


def _listed(settings: Settings, as_of: date) -> list[str]:
    return ranking.listed(roster.ranked(settings, as_of).rows)["customer_id"].tolist()


def _by_family(champion: Bundle, facts: pd.DataFrame) -> pd.DataFrame:
    contributions = shapley.contributions(champion.model, facts)
    return shapley.by_family(contributions, champion.features)


def _require_scored(chosen: list[str], facts: pd.DataFrame) -> None:
    for customer in chosen:
        if customer not in facts.index:
            raise ConfigurationError(
                "customer= names nobody who was scored",
                got=customer,
                expected=f"an active customer; {nearest(customer, list(facts.index[:50_000]))[:200]}",
                next_step="look the id up in scores.parquet of the same as_of",
            )


def _tell(customer: str, rows: pd.DataFrame) -> None:
    for row in rows.itertuples():
        log.info("%s %-7s %+.2f  %s", customer, row.direction, row.contribution, row.sentence)


def _picture(
    champion: Bundle, features: pd.DataFrame, workspace: Workspace, settings: Settings
) -> None:
    """Which families move the scores most, over an even sample of all scored customers."""
    from churn.io import plots  # half a second that `customer=ID` does not need

    n = min(settings.explain.n_global, len(features))
    sample = features.iloc[np.unique(np.linspace(0, len(features) - 1, n).astype(int))]
    strength = _by_family(champion, sample).abs().mean()
    tables.write_bytes(workspace.folder("reasons") / "importance.png", plots.families(strength))
