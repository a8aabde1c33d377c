"""A null world: churn independent of everything logged. Is anything ever promoted?

    python benchmarks/null_world.py 1 2 3 ... [--customers 1000] [KEY=VALUE ...]

For each seed the demo product with the same week after week chance of leaving for everybody: every
term of the hazard is off (mood, adoption, contract, tenure, season, what a contact changes), and what
the logs show goes on as always until the day on which a customer leaves. Then the real path:
simulate, rollup, features, train, promote, with default settings but for the words that are given and
the size: KEY=VALUE as on the command line. Prints one line per seed: the figures of
the model and of its rivals, the rules of the gate that refuse it, what the card says first; and how
many were promoted.
"""

import argparse
import contextlib
import logging
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from churn.conf_tree import CONF
from churn.errors import HeldBackError
from churn.io import bundle
from churn.learning import gate
from churn.settings import Settings, register, to_settings
from churn.simulate import Hazard, World
from churn.stages import features, promote, rollup, simulate, train

WEEK = 50
LOG_ODDS = -4.2
"""1.5 % leave in a week, 6 % in 28 days: as many as in the demo product."""

NOTHING = {
    **{name: 0.0 for name in asdict(Hazard()) if name not in ("newcomer_weeks", "season_weeks")},
    "intercept": f"[{LOG_ODDS},{LOG_ODDS},{LOG_ODDS}]",
}
WORDS = [
    *(f"source.world.hazard.{name}={value}" for name, value in NOTHING.items()),
    "source.world.traits.frailty_sd=0",
    "source.world.effect.persuasion=0",
    "source.world.effect.dog=0",
]
SHOWN = ("longest_silent", "tenure_contract")


def main(seeds: Sequence[int], n_customers: int, words: Sequence[str]) -> None:
    logging.getLogger("churn").addHandler(logging.StreamHandler(sys.stderr))
    heads = ["seed", "rows judged", "churned", "AP of chance", "AP", "ROC AUC",
             *(f"AP minus {gate.RIVALS[name]}" for name in SHOWN), "skill", "promoted",
             "rules that refuse", "the card says"]  # fmt: skip
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads), flush=True)
    n_promoted = 0
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            cells, is_promoted = judged(
                Path(folder), seed=seed, n_customers=n_customers, words=words
            )
        n_promoted += is_promoted
        print("| " + " | ".join(cells) + " |", flush=True)
    print(f"\n{n_promoted} of {len(seeds)} promoted.")


def judged(
    place: Path, *, seed: int, n_customers: int, words: Sequence[str] = ()
) -> tuple[list[str], bool]:
    """One world from its logs to the gate: a line of the table, and whether a model was promoted."""
    given = settings(place, seed=seed, n_customers=n_customers, words=words)
    for stage in (simulate, rollup, features, train):
        stage.run(given)
    with contextlib.suppress(HeldBackError):
        promote.run(given)
    champion = bundle.pointer(place, "champion")
    record = bundle.load(place, "challenger").spec
    refused = [v for v in gate.judge(record["evidence"]) if not v.passed]
    is_promoted = champion is not None and "rule" not in champion
    return [
        *_figures(seed, record),
        "yes" if is_promoted else "no",
        str(len(refused)),
        said(place),
    ], is_promoted


def settings(place: Path, *, seed: int, n_customers: int, words: Sequence[str] = ()) -> Settings:
    """Those of the command line for a null world, at a Monday."""
    as_of = date.fromisoformat(World().start) + timedelta(weeks=WEEK)
    asked = [
        f"workspace={place}", f"seed={seed}", f"as_of='{as_of}'", "engine.threads=1",
        f"source.world.n_customers={n_customers}", f"source.world.n_weeks={WEEK}",
        "train.tracking_uri='sqlite:////dev/null/none.db'", *WORDS, *words,
    ]  # fmt: skip
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return to_settings(compose("train", overrides=asked))


def said(place: Path) -> str:
    """What the card of the challenger says in bold, before anything else."""
    version = bundle.load(place, "challenger").version
    page = (place / "cards" / f"{version}.html").read_text()
    return page.split("<strong>")[1].split("</strong>")[0]


def _figures(seed: int, record: dict[str, Any]) -> list[str]:
    model, minus = record["test"]["figures"]["model"], record["evidence"]["differences"]
    differences = [minus[name]["average_precision"] for name in SHOWN]
    return [
        str(seed), f"{model['n_rows']:,.0f}", f"{model['n_churned']:,.0f}", f"{model['base_rate']:.3f}",
        f"{model['average_precision']:.3f}", f"{model['roc_auc']:.3f}",
        *(f"{d['value']:+.3f} ({d['low']:+.3f} to {d['high']:+.3f})" for d in differences),
        f"{model['log_loss_skill']:+.4f}",
    ]  # fmt: skip


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("words", nargs="+", help="seeds, then KEY=VALUE")
    asked.add_argument("--customers", type=int, default=1000)
    given = asked.parse_intermixed_args()
    seeds = [int(word) for word in given.words if "=" not in word]
    main(seeds, given.customers, [word for word in given.words if "=" in word])
