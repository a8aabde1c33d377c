"""`churn backtest` and `churn train` on a real small log: what an origin knows, what is written."""

import dataclasses
import json
import os
import re
import shutil
import sys
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from commandline import exit_code

from churn.errors import ConfigurationError, HeldBackError
from churn.features import panel
from churn.features.labels import Definition
from churn.io import bundle, tables
from churn.io.engine import opened, resources
from churn.io.modelling import guests, origins, panels, plans
from churn.io.workspace import SIDES, USAGE, Workspace
from churn.learning import models
from churn.learning.backtest import Origin
from churn.settings import (
    BacktestSettings,
    CompareSettings,
    EngineSettings,
    FeatureSettings,
    LightGBMSettings,
    Settings,
    SourceSettings,
    TrainSettings,
)
from churn.simulate import World
from churn.stages import backtest, compare, features, rollup, simulate, train

AS_OF = "2025-10-06"
SMALL = World(n_customers=500, n_weeks=42)
QUICK = LightGBMSettings(n_rounds=15, min_data_in_leaf=30)


def settings(place: Path, **changes) -> Settings:
    given = Settings(
        workspace=str(place),
        as_of=AS_OF,
        engine=EngineSettings(threads=1),
        source=SourceSettings(name="demo", world=SMALL),
        churn=Definition("cancellation", horizon_days=28),
        features=FeatureSettings(lookback_days=182, n_event_types=4, n_topics=0),
        train=TrainSettings(
            snapshots=5, n_folds=2, lightgbm=QUICK, tracking_uri="sqlite:////dev/null/none.db"
        ),
        backtest=BacktestSettings(origins=2, test_snapshots=2, draws=100, audit=["segment"]),
    )
    return dataclasses.replace(given, **changes)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("small") / "ws"
    simulate.run(settings(place))
    rollup.run(settings(place))
    return place


@pytest.fixture(scope="module")
def written(place: Path) -> bytes:
    backtest.run(settings(place))
    return (place / "backtest" / "backtest.json").read_bytes()


@pytest.fixture(scope="module")
def report(written: bytes) -> dict:
    return json.loads(written)


def test_the_report_holds_what_was_promised(place: Path, report: dict) -> None:
    assert [one["at"] for one in report["origins"]] == ["2025-08-04", "2025-09-01"]
    assert report["origins"][-1]["test_snapshots"] == ["2025-09-01", "2025-09-08"]
    assert {"model", "random", "longest_silent", "biggest_drop", "tenure_contract",
            "logistic_all"} <= set(report["figures"])  # fmt: skip
    assert {g["group"] for g in report["groups"]} >= {"tenure", "newcomer", "contract", "segment"}
    assert report["lead_time"]["model"]["n_left"] > 0
    assert 0 <= report["turnover"]["model"] <= 1
    text = (place / "backtest" / "backtest.md").read_text()
    for head in (
        "## Pooled",
        "## By origin",
        "## Lists",
        "## By group",
        "minus each rival, paired",
    ):
        assert head in text
    kept = tables.read(place / "backtest", made_by="backtest")
    assert len(kept) == report["figures"]["model"]["n_rows"]
    assert {"origin", "snapshot", "customer_id", "label", "risk_model", "score_random"} <= set(kept)


def test_two_backtests_can_be_compared_and_others_not(place: Path, report: dict) -> None:
    told = settings(
        place, name="line", train=dataclasses.replace(settings(place).train, model="logistic")
    )
    backtest.run(told)
    first = next(
        path.name for path in (place / "runs").iterdir() if tables.exists(path)
        and tables.facts(path, made_by="backtest")["configuration"]["train.model"] == "blend"
    )  # fmt: skip
    compare.run(settings(place, compare=CompareSettings([first, "line"])))
    said = json.loads((place / "compare" / "compare.json").read_text())
    base = report["figures"]["model"]["average_precision"]
    found = said["pooled"]["figures"]
    assert found[first]["average_precision"]["value"] == pytest.approx(base)
    line = json.loads((place / "backtest" / "backtest.json").read_text())["figures"]["model"]
    assert found["line"]["average_precision"]["value"] == pytest.approx(line["average_precision"])
    backtest.run(settings(place, name="early", as_of="2025-09-22"))
    with pytest.raises(ConfigurationError, match="not judged on the same customers") as refusal:
        compare.run(settings(place, compare=CompareSettings(["line", "early"])))
    assert "as_of: 2025-10-06 and 2025-09-22" in refusal.value.got


@pytest.mark.slow
def test_a_grid_on_the_command_line_can_be_compared(
    place: Path, tmp_path: Path, monkeypatch
) -> None:
    """`--multirun`: a backtest for each value, each kept under a key of its own."""
    monkeypatch.chdir(tmp_path)
    for name in (*USAGE, *SIDES):
        shutil.copytree(place / name, tmp_path / "ws" / name)
    words = [
        "workspace=ws",
        f"as_of={AS_OF}",
        "engine.threads=1",
        "train.tracking_uri=sqlite:////dev/null/none.db",
    ]
    words += [
        "features.n_event_types=4",
        "features.n_topics=0",
        "train.snapshots=5",
        "train.n_folds=2",
    ]
    words += ["backtest.origins=1", "backtest.draws=100", "train.lightgbm.n_rounds=15"]
    assert exit_code("backtest", "--multirun", *words, "train.model=logistic,lightgbm") == 0
    keys = sorted(path.name for path in (tmp_path / "ws" / "runs").iterdir())
    assert len(keys) == 2
    assert exit_code("compare", *words[:4], f"compare.runs=[{','.join(keys)}]") == 0
    text = (tmp_path / "ws" / "compare" / "compare.md").read_text()
    assert re.search(r"\| train.model +\| +(logistic|lightgbm) \| +(logistic|lightgbm) \|", text)
    assert os.listdir(tmp_path) == ["ws"]


@pytest.mark.slow
def test_the_same_command_twice_gives_the_same_bytes(place: Path, written: bytes) -> None:
    backtest.run(settings(place))
    assert (place / "backtest" / "backtest.json").read_bytes() == written


def test_an_origin_is_the_training_that_would_have_run_on_that_day(place: Path) -> None:
    """Its rows, labels and columns are those of `churn features as_of=ORIGIN`."""
    told = settings(place, backtest=BacktestSettings(origins=1, test_snapshots=2))
    workspace = Workspace(place)
    with opened(resources(told.engine), workspace.usage()) as engine:
        (origin,) = origins.rebuilt(
            engine, told, date.fromisoformat(AS_OF), workspace.usage_facts(), []
        )
    features.run(dataclasses.replace(told, as_of=origin.at.isoformat()))
    then = tables.read(place / "panel", made_by="features")
    then = then[then["label_mature"]].reset_index(drop=True).drop(columns=list(models.TIMES))
    mine = origin.train.assign(snapshot=pd.to_datetime(origin.train["snapshot"]).dt.date)
    pd.testing.assert_frame_equal(
        mine, then.assign(snapshot=pd.to_datetime(then["snapshot"]).dt.date), check_dtype=False
    )
    assert max(origin.train["snapshot"]) + pd.Timedelta(days=28) <= origin.at


def test_of_more_rows_than_fit_whole_customers_are_drawn(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For learning and for judging apart; each row as it is among all of them, in ranges or in one."""
    told = settings(place, backtest=BacktestSettings(origins=1, test_snapshots=2))
    workspace = Workspace(place)

    def origin(**more: int) -> Origin:
        with opened(resources(told.engine), workspace.usage()) as engine:
            (found,) = origins.rebuilt(
                engine, told, date.fromisoformat(AS_OF), workspace.usage_facts(), [], **more
            )
        return found

    whole = origin()
    few = origin(most_rows=len(whole.train) // 2)
    monkeypatch.setattr(panels, "CELLS_AT_ONCE", 200_000)
    in_ranges = origin(most_rows=len(whole.train) // 2)
    for mine, every in ((few.train, whole.train), (few.test, whole.test)):
        there = set(mine["customer_id"])
        expected = every[every["customer_id"].isin(there)].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine.reset_index(drop=True), expected)
    assert 0.35 < len(few.train) / len(whole.train) < 0.65
    pd.testing.assert_frame_equal(in_ranges.train, few.train)
    fewer = origin(most_rows=len(whole.test) // 2)
    assert 0.35 < len(fewer.test) / len(whole.test) < 0.65
    shared = set(fewer.test["customer_id"]) & set(fewer.train["customer_id"])
    assert (
        0
        < len(shared)
        < min(fewer.test["customer_id"].nunique(), fewer.train["customer_id"].nunique())
    )


def test_who_left_when(place: Path) -> None:
    """The day of leaving is the subscription's end, or the end of being active."""
    told = settings(place)
    workspace, day = Workspace(place), date(2025, 9, 1)
    subscriptions = tables.read(place / "subscriptions", made_by="rollup")
    ended = pd.to_datetime(subscriptions.groupby("customer_id")["end_date"].max())
    for churn in (told.churn, Definition("inactivity", active_days=28)):
        with opened(resources(told.engine), workspace.usage()) as engine:
            plan = plans.for_training(
                engine, dataclasses.replace(told, churn=churn), date.fromisoformat(AS_OF),
                workspace.usage_facts(),
            )  # fmt: skip
            plan = dataclasses.replace(plan, snapshots=[day], features=[])
            rows = panels.rows(engine, plan).to_pandas()
            left = engine.table(panel.departures(plan)).to_pandas()
        both = rows.merge(left, on=["snapshot", "customer_id"], how="left")
        churned = both[both["label"] == 1]
        assert len(churned) >= 3
        assert churned["churned_on"].notna().all()
        days = (pd.to_datetime(churned["churned_on"]) - pd.Timestamp(day)).dt.days
        assert days.between(0, 28).all()
        if churn.name == "cancellation":
            expected = churned["customer_id"].map(ended)
            assert (pd.to_datetime(churned["churned_on"]).to_numpy() == expected.to_numpy()).all()


def test_training_keeps_the_evidence_of_rebuilt_origins(place: Path, caplog) -> None:
    told = settings(place)
    features.run(told)
    train.run(told)
    spec = bundle.load(place, "challenger").spec
    assert spec["evidence"]["unchanged"] is True
    assert spec["evidence"]["n_origins"] == 2
    assert [one["at"] for one in spec["test"]["origins"]] == ["2025-08-04", "2025-09-01"]
    assert spec["test"]["lead_times"]["model"]["n_left"] > 0
    assert bundle.load(place, "rule").spec["rule"] in ("longest_silent", "biggest_drop")


def test_origins_inside_the_panel_are_told_by_group_and_with_lead_times_too(place: Path) -> None:
    within = BacktestSettings(rebuild_rows=0, draws=100, audit=["segment"])
    told = settings(place, backtest=within)
    features.run(told)
    train.run(told)
    test = bundle.load(place, "challenger").spec["test"]
    groups = {one["group"] for one in test["groups"]}
    assert {"segment", "tenure", "contract"} <= groups
    assert {one["level"] for one in test["groups"] if one["group"] == "segment"} == {
        "smb",
        "mid",
        "ent",
    }
    assert test["lead_times"]["model"]["n_left"] > 0
    unknown = BacktestSettings(rebuild_rows=0, audit=["shoe_size"])
    with pytest.raises(ConfigurationError, match=r"backtest\.audit"):
        train.run(settings(place, backtest=unknown))


def test_too_short_a_log_is_held_back(place: Path) -> None:
    with pytest.raises(HeldBackError, match="too short for a backtest") as refusal:
        backtest.run(settings(place, as_of="2025-02-10"))
    assert "churn.horizon_days" in refusal.value.next_step


def test_an_attribute_that_nobody_has_is_refused(place: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"backtest\.audit"):
        backtest.run(settings(place, backtest=BacktestSettings(audit=["shoe_size"])))


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A way to install a package that offers something under `churn.models`."""

    def install(offer: str) -> None:
        (tmp_path / "theirs.py").write_text(
            "from sklearn.naive_bayes import GaussianNB\ndef deaf():\n    return object()\n"
        )
        metadata = tmp_path / "theirs-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[churn.models]\n{offer}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        sys.modules.pop("theirs", None)

    return install


def test_a_classifier_of_another_package_takes_part(place: Path, offered) -> None:
    offered("naive_bayes = theirs:GaussianNB")
    told = settings(place, backtest=BacktestSettings(origins=1, test_snapshots=1, draws=100))
    backtest.run(told)
    found = json.loads((place / "backtest" / "backtest.json").read_text())
    assert 0 < found["figures"]["naive_bayes"]["roc_auc"] < 1
    assert found["gate"]["naive_bayes"][0]["rule"].startswith("average precision minus")
    assert "naive_bayes" in (place / "backtest" / "backtest.md").read_text()


@pytest.mark.parametrize(
    ("offer", "named"),
    [
        ("model = theirs:GaussianNB", "a name that is taken"),
        ("deaf = theirs:deaf", "makes no classifier"),
        ("gone = theirs:Gone", "makes no classifier"),
        ("lost = nowhere:Model", "makes no classifier"),
    ],
)
def test_what_is_no_classifier_is_refused_by_name(offered, offer: str, named: str) -> None:
    offered(offer)
    with pytest.raises(ConfigurationError, match=named) as refusal:
        guests.found()
    assert offer.split(" ")[0] in str(refusal.value)
