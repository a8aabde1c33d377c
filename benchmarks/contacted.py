"""After a year in which lists were worked: does a model still know the risk of who is left alone?

    python benchmarks/contacted.py 1 2 3 [--customers 5000] [--model blend] [--ways 4]

Two worlds for each seed, alike but for contacts. In one there are none. In the other six campaigns
contact a random 6 % each, and for 52 weeks a team contacts the top 2 % of each week by true hazard ×
price (10 % held out, 80 % of the others reached, four weeks of rest), which CS records. The product
builds both panels at Monday of week 60 and trains with the default recipe: on the world without
contacts; on the other one as `churn train` does; as it is (train.contacted=ignore); and without the
rows that a contact touched. Judged is the average precision against the true risk without any contact,
of the customers who are there in both worlds (usage is alike in both, so are they). Each model sees them
as its own world's panel does: topics of messages are learnt in each. Ratio is the mean risk / the mean
true risk. `--ways 2` stops after the first two.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hydra import compose, initialize_config_dir
from measure import show
from oracle import figures
from true_labels import default_recipe

from churn import contracts, simulate
from churn.conf_tree import CONF
from churn.features.definitions import Feature
from churn.io import records, tables
from churn.io.modelling import contacts
from churn.learning import backtest, models, splits
from churn.learning.models import Model
from churn.settings import Settings, register, to_settings
from churn.simulate import Contacting, World, oracle
from churn.stages import features, rollup

WEEK, FIRST = 60, 8
PATHS = 200
START = date.fromisoformat(World().start)
AS_OF = START + timedelta(weeks=WEEK)


@dataclass(frozen=True)
class Built:
    """One world as the product sees it at `AS_OF`."""

    panel: pd.DataFrame
    features: list[Feature]
    weighted: pd.DataFrame

    @property
    def now(self) -> pd.DataFrame:
        return self.panel[splits.days(self.panel["snapshot"]) == AS_OF]


def main(seeds: list[int], n_customers: int, model: str, n_ways: int) -> None:
    logging.getLogger("churn").addHandler(logging.StreamHandler(sys.stderr))
    heads = ["seed", "trained on", "rows", "AP", "precision at 2 %", "ratio", "share of AP"]
    show(
        heads,
        (cells for seed in seeds for cells in islice(judged(seed, n_customers, model), n_ways)),
    )


def judged(seed: int, n_customers: int, model: str) -> Iterator[list[str]]:
    """One line per way to train in the worlds of one seed."""
    world = World(n_customers=n_customers)
    alone = replace(world, effect=replace(world.effect, campaign_weeks=[]))
    policy = Contacting(FIRST, WEEK)
    truth = oracle(alone, seed=seed, week=WEEK, paths=PATHS).set_index("customer_id")["p_true_b"]
    without, called = built(alone, seed, None), built(world, seed, policy)
    recipe = replace(default_recipe(seed), model=model)
    rows = backtest.mature(called.panel)
    tasks = {
        "no contacts": (without, backtest.mature(without.panel)),
        "contacts, as the product does": (called, called.weighted),
        "contacts, as they are": (called, rows),
        "contacts, touched rows left out": (called, rows[~touched(called)]),
    }
    best = 0.0
    known = truth.index.intersection(without.now["customer_id"])
    truth = truth[known.intersection(called.now["customer_id"])]
    for name, (place, taught) in tasks.items():
        fitted = models.fit(taught, features=place.features, recipe=recipe)
        found = scored(fitted, place.now, truth)
        best = best or found["ap"]
        yield [
            str(seed), name, f"{len(taught):,}", f"{found['ap']:.4f}", f"{found['precision']:.3f}",
            f"{found['ratio']:.2f}", f"{found['ap'] / best:.3f}",
        ]  # fmt: skip


def touched(place: Built) -> np.ndarray:
    return (place.weighted["weight"] != 1).to_numpy()


def scored(model: Model, now: pd.DataFrame, truth: pd.Series) -> dict[str, float]:
    """Figures of the model among the customers of `truth`."""
    known = now[now["customer_id"].isin(truth.index)]
    risk, label = models.predict(model, known), truth[known["customer_id"]].to_numpy()
    return {**figures(label, risk), "ratio": risk.mean() / label.mean()}


def built(world: World, seed: int, policy: Contacting | None) -> Built:
    """The world's logs, and what CS recorded in it, through roll-up and features."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        listed = write(place, world, seed, policy)
        given = settings(place, seed)
        rollup.run(given)
        if len(listed):
            keep_records(place, listed)
        features.run(given)
        panel = tables.read(place / "panel", made_by="features")
        facts = tables.facts(place / "panel", made_by="features")
        rows = contacts.weighted(given, backtest.mature(panel), AS_OF)
    # campaigns are known in one world only, and lists are not features in either
    known = [Feature(**entry) for entry in facts["features"] if entry["family"] != "contact"]
    return Built(panel, known, rows)


def write(place: Path, world: World, seed: int, policy: Contacting | None) -> pd.DataFrame:
    """The files of source=demo up to `AS_OF`; returns who was listed, by week."""
    demo = place / "demo"
    (demo / "events").mkdir(parents=True)
    sides: dict[str, list[pa.Table]] = {"subscriptions": [], "contacts": [], "listed": []}
    for week in islice(simulate.simulate(world, seed=seed, contacting=policy), WEEK + 1):
        pq.write_table(week.events, demo / "events" / f"week_{week.week:03d}.parquet")
        for side, weeks in sides.items():
            weeks.append(getattr(week, side))
    for side in ("subscriptions", "contacts"):
        pq.write_table(pa.concat_tables(sides[side]), demo / f"{side}.parquet")
    pq.write_table(simulate.customers(world, seed=seed), demo / "customers.parquet")
    return pa.concat_tables(sides["listed"]).to_pandas()


def keep_records(place: Path, listed: pd.DataFrame) -> None:
    """What `churn retain` and `churn outcomes` would have written of those lists."""
    policy = Contacting(FIRST, WEEK)
    days = listed.assign(as_of=[START + timedelta(weeks=int(week)) for week in listed["week"]])
    first = days.assign(block=days["week"] // policy.block_weeks)
    first = first.drop_duplicates(["customer_id", "block"])
    assigned = first.assign(
        block=[START + timedelta(weeks=int(b) * policy.block_weeks) for b in first["block"]],
        propensity=policy.holdout,
        is_pilot=False,
        value_month=first["price_month"],
    ).reindex(columns=list(contracts.ASSIGNMENTS.columns))
    tables.write(place / "assignments", {"assignments": assigned})
    said = days[days["arm"] == "contact"]
    answers = said.assign(
        list_id=said["week"].map("week {}".format),
        contacted=said["is_contacted"],
        recorded_as_of=[day + timedelta(days=7) for day in said["as_of"]],
    ).reindex(columns=list(contracts.OUTCOMES.columns))
    records.keep_outcomes(place, answers.astype(object).where(answers.notna(), None))


def settings(place: Path, seed: int) -> Settings:
    register()
    words = [f"workspace={place}", f"seed={seed}", f"as_of='{AS_OF}'", "engine.threads=1"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return to_settings(compose("train", overrides=words))


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("seeds", nargs="*", type=int, default=[1, 2, 3])
    asked.add_argument("--customers", type=int, default=5000)
    asked.add_argument("--model", default="blend")
    asked.add_argument("--ways", type=int, default=4)
    given = asked.parse_args()
    main(given.seeds, given.customers, given.model, given.ways)
