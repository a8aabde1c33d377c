"""Models as witnesses: what each voice says of customers, of one list or of a backtest's rows."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from churn.features.definitions import Feature
from churn.io import tables
from churn.io.engine import near, opened, resources
from churn.learning import backtest, hazard, models, shapley
from churn.learning.backtest import Contestants, Origin
from churn.learning.models import Model
from churn.retention import evidence, language, reasons
from churn.retention.language import Language
from churn.settings import Settings

MOST_ROWS = 4000
"""Of an origin: contributions of 16,000 rows take 4 CPU seconds, and leavers are few anyway."""


AS_A_FACT = 1.0
"""In log-odds: loud enough to be heard. By the hazard of the demo's model half have twice that or more."""


def voices(
    model: Model,
    facts: pd.DataFrame,
    features: Sequence[Feature],
    said: Language,
    *,
    gap_days: int,
    ends_later: float | None = None,
) -> pd.DataFrame:
    """Contributions of `model` to each row of `facts`, by voice (log-odds).

    They are to the risk in the horizon. Only of a long term that ends after it (`hazard.term_ends`) it is
    what that adds to the risk of eight weeks (`ends_later`; None: as the model says), and the contract's
    voice is silent. Where no voice is for the end of a term, the contract's speaks of it as of the rest.
    """
    contributions = shapley.contributions(model, facts)
    by_family = shapley.by_family(contributions, features)
    if not said.late:
        return reasons.by_voice(by_family, said)
    horizon_days = model.hazard.horizon_days
    soon, later = hazard.term_ends(facts, horizon_days=horizon_days, gap_days=gap_days)
    contract = by_family[language.CONTRACT].to_numpy() if language.CONTRACT in by_family else 0.0
    end = np.where(soon, contract, 0.0)
    end[later] = models.of_term_end(model, facts[later]) if ends_later is None else ends_later
    parts = {language.CONTRACT: np.where(soon | later, 0.0, contract), language.TERM_END: end}
    return reasons.by_voice(by_family.assign(**parts), said)


def matching(settings: Settings, facts: pd.DataFrame, said: Language) -> pd.DataFrame:
    """Which sentences may be said of each row of `facts` (see `language.matches`), in its order."""
    with opened(near(resources(settings.engine))) as engine:
        engine.bind("facts", tables.arrow(facts.assign(place=range(len(facts)))))
        return engine.table(language.matches(said, list(facts.columns))).to_pandas()


def listening(
    contestants: Contestants, settings: Settings, said: Language, heard: list[pd.DataFrame]
) -> Contestants:
    """The same `contestants`; what the model of each origin says of its test rows is added to `heard`
    (see `evidence.heard`).

    A model of a backtest judges one horizon. That a term ends after it is a fact of the calendar, and
    checked as such: everybody's is heard.
    """

    def listen(origin: Origin, model: Model) -> None:
        rows = evidence.sampled(origin.test, most=MOST_ROWS, seed=settings.seed)
        # That there was a drop decides what may be said; when it began only fills in the sentence.
        facts = rows.assign(origin=origin.at, drop_began_days=1)
        gap_days = settings.churn.gap_days
        spoken = voices(
            model, facts, origin.features, said, gap_days=gap_days, ends_later=AS_A_FACT
        )
        may_say = matching(settings, facts, said)
        heard.append(evidence.heard(facts, spoken, said, matching=may_say, gap_days=gap_days))

    return backtest.watched(contestants, listen)
