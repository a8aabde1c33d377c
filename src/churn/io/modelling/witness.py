"""Models as witnesses: what each voice says of customers, of one list or of a backtest's rows."""

from collections.abc import Sequence

import pandas as pd

from churn.features.definitions import Feature
from churn.io import tables
from churn.io.engine import near, opened, resources
from churn.learning import backtest, shapley
from churn.learning.backtest import Contestants, Origin
from churn.learning.models import Model
from churn.retention import evidence, language, reasons
from churn.retention.language import Language
from churn.settings import Settings

MOST_ROWS = 4000
"""Of an origin: contributions of 16,000 rows take 4 CPU seconds, and leavers are few anyway."""


def voices(
    model: Model, facts: pd.DataFrame, features: Sequence[Feature], said: Language
) -> pd.DataFrame:
    """Contributions of `model` to each row of `facts`, by voice (log-odds)."""
    contributions = shapley.contributions(model, facts)
    return reasons.by_voice(shapley.by_family(contributions, features), said)


def matching(settings: Settings, facts: pd.DataFrame, said: Language) -> pd.DataFrame:
    """Which sentences may be said of each row of `facts` (see `language.matches`), in its order."""
    with opened(near(resources(settings.engine))) as engine:
        engine.bind("facts", tables.arrow(facts.assign(place=range(len(facts)))))
        return engine.table(language.matches(said, list(facts.columns))).to_pandas()


def listening(
    contestants: Contestants, settings: Settings, said: Language, heard: list[pd.DataFrame]
) -> Contestants:
    """The same `contestants`; what the model of each origin says of its test rows is added to `heard`
    (see `evidence.heard`)."""

    def listen(origin: Origin, model: Model) -> None:
        rows = evidence.sampled(origin.test, most=MOST_ROWS, seed=settings.seed)
        # That there was a drop decides what may be said; when it began only fills in the sentence.
        facts = rows.assign(origin=origin.at, drop_began_days=1)
        spoken = voices(model, facts, origin.features, said)
        may_say = matching(settings, facts, said)
        heard.append(evidence.heard(facts, spoken, said, matching=may_say))

    return backtest.watched(contestants, listen)
