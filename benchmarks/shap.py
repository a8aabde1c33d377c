"""What reasons cost: for a list of 1,000 out of 100,000 scored customers, and for all of them.

    python benchmarks/shap.py [CUSTOMERS]

The default model (a blend; 400 trees of 7 leaves) on about 480 columns, all features of a log with 40
event types, whose numbers are made up. Times are CPU seconds of one thread: reading the scored
features, contributions by voice, which sentences may be said, sentences. The history from which the
start of a drop comes is left out (one query over the listed customers' days). Beside it: LightGBM's
own `pred_contrib` and `shap.TreeExplainer` on the same trees, and by how much they differ.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from churn.features import definitions
from churn.features.definitions import Feature
from churn.features.vocabulary import NEEDS, Vocabulary
from churn.io import tables
from churn.io.modelling import recipes, witness
from churn.learning import columns, models, shapley
from churn.learning.models import Model
from churn.retention import language, reasons
from churn.settings import CONF, EngineSettings, Settings, feature_documents, spoken

SEED, N_TRAIN, N_LISTED, N_COMPARED = 7, 12_000, 1_000, 2_000
AS_OF = date(2026, 3, 2)
SETTINGS = Settings(engine=EngineSettings(threads=1))


def main(n_customers: int) -> None:
    features = catalogue()
    random = np.random.default_rng(SEED)
    taught = made_up(features, N_TRAIN, random)
    odds = np.log1p(taught["recency_days"]) - 0.05 * taught["n_active_days_28d"] - 3
    taught["label"] = (random.random(N_TRAIN) < 1 / (1 + np.exp(-odds))).astype(float)
    taught["snapshot"] = AS_OF
    model = models.fit(taught, features=features, recipe=recipes.of(SETTINGS))
    scored = made_up(features, n_customers, random)
    print(
        f"{n_customers:,} customers, {len(model.columns)} columns, "
        f"{model.booster.num_trees()} trees\n\n| what | CPU s |\n|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        tables.write(Path(folder) / "scored", {"all": scored})
        for name, n in ((f"a list of {N_LISTED:,}", N_LISTED), ("all of them", n_customers)):
            chosen = scored["customer_id"].iloc[:n].tolist()
            seconds, rows = timed(lambda c=chosen: said(Path(folder), model, features, c))
            print(f"| reasons for {name} ({len(rows):,} sentences) | {seconds:.1f} |")
    beside(model, scored.iloc[:N_COMPARED])


def said(place: Path, model: Model, features: list[Feature], chosen: list[str]) -> pd.DataFrame:
    """What `churn explain` does."""
    scored = tables.read(place / "scored", made_by="score")
    facts = scored.set_index("customer_id").loc[chosen].assign(drop_began_days=9)
    words = language.with_own(spoken(SETTINGS), features)
    heard = reasons.speaking(
        witness.voices(model, facts, features, words, gap_days=0),
        words,
        matching=witness.matching(SETTINGS, facts.reset_index(), words),
    )
    return reasons.sentences(heard, facts, words, as_of=AS_OF)


def beside(model: Model, rows: pd.DataFrame) -> None:
    """The trees alone, by everybody."""
    # This file is called like the package beside which it measures.
    sys.path = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).resolve().parent]
    import shap

    values = columns.matrix(model.columns, rows)
    trees = models.Model(
        model.columns, model.booster, None, models.Calibration((1.0,), 0.0), model.hazard
    )
    ours, mine = timed(lambda: shapley.contributions(trees, rows).to_numpy())
    native, its = timed(lambda: np.asarray(model.booster.predict(values, pred_contrib=True)))
    explainer = shap.TreeExplainer(model.booster)
    other, theirs = timed(lambda: np.asarray(explainer.shap_values(values)))
    whole = shapley.contributions(model, rows).sum(axis=1) - models.log_odds(model, rows)
    print(
        f"\n| trees of {len(rows):,} rows | CPU s | largest difference from ours |\n|---|---|---|"
    )
    print(f"| ours | {ours:.2f} | |")
    print(f"| pred_contrib | {native:.2f} | {np.abs(its - mine).max():.0e} |")
    print(f"| shap.TreeExplainer | {other:.2f} | {np.abs(theirs - mine[:, :-1]).max():.0e} |")
    print(f"\nsum of a row of the blend minus its log-odds: at most {np.abs(whole).max():.0e}")


def timed(work: Callable[[], pd.DataFrame]) -> tuple[float, pd.DataFrame]:
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


def catalogue() -> list[Feature]:
    """All features of a log with 40 event types."""
    given = yaml.safe_load((CONF / "features" / "default.yaml").read_text())
    known = Vocabulary(
        windows=given["windows"],
        event_types=[f"event_{k}" for k in range(40)],
        roles={"error": ["api_error"], "support": ["ticket"], "payment_failed": ["declined"]},
        available=NEEDS,
        static={"country": "category", "size": "number"},
        dates=[],
    )
    return definitions.expand(feature_documents(Settings()), known)


def made_up(features: list[Feature], n: int, random: np.random.Generator) -> pd.DataFrame:
    """Numbers of the size that counts and days have, one in twenty missing."""
    cells = {}
    for item in features:
        if item.kind == "category":
            cells[item.name] = random.choice(["a", "b", "c"], n).astype(object)
            continue
        values = random.exponential(20, n).round()
        values[random.random(n) < 0.05] = np.nan
        cells[item.name] = values
    return pd.DataFrame({"customer_id": [f"{k:07d}" for k in range(n)], **cells})


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
