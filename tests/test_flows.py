"""The flows on a small demo: what is published, replayed, refused and never read."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import mailserver
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from world import subscribed

from churn.conf_tree import CONF
from churn.io import bundle, records, revisions, tables
from churn.io.workspace import SIDES, USAGE

SMALL = [
    "source.world.n_customers=600", "source.world.n_weeks=44", "train.lightgbm.n_rounds=20",
    "train.snapshots=6", "train.n_folds=2", "engine.threads=1", "features.lookback_days=182",
    "backtest.rebuild_rows=0",
]  # fmt: skip
WATCH_OPENS = """
import sys
def hook(event, arguments):
    if event == "open" and "/truth/" in str(arguments[0]):
        raise AssertionError(f"a stage opened {arguments[0]}")
sys.addaudithook(hook)
"""


def churn(place: Path, *words: str, expected: int = 0) -> str:
    """Run a command in processes in which opening a file of the truth is an error."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(WATCH_OPENS)
        path = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(
            [sys.executable, "-m", "churn", *words, f"workspace={place}", *SMALL],
            capture_output=True, text=True, errors="replace", env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip
    assert done.returncode == expected, done.stderr[-3000:]
    return done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A workspace in which the whole path ran for 20 October 2025."""
    place = tmp_path_factory.mktemp("flows") / "ws"
    done = subprocess.run(
        [sys.executable, "-m", "churn", "simulate", f"workspace={place}", *SMALL],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    churn(place, "run", "as_of=2025-10-20")
    return place


def unpublished(place: Path, target: Path) -> Path:
    """A copy of the workspace in which nothing was ever published, whatever other tests did."""
    made = shutil.ignore_patterns("published", "quality", "outbox")
    return Path(shutil.copytree(place, target, ignore=made))


HANDED_OUT = ("retention", "qualified", "assignments")


def nobody_assigned(place: Path, target: Path) -> Path:
    """The same without any list before: nobody is in an arm."""
    own = unpublished(place, target)
    for name in HANDED_OUT:
        shutil.rmtree(own / name)
    return own


NO_SERVER = [
    "deliver.host=127.0.0.1", "deliver.port=1", "deliver.security=none",
    "deliver.head=head@example.com",
]  # fmt: skip


def test_weekly_publishes_the_missed_weeks_in_order_and_twice_the_same(place):
    churn(place, "weekly", "from=2025-10-20", "to=2025-10-27", *NO_SERVER, expected=6)
    published = place / "published"
    names = ["2025-10-20/r1", "2025-10-27/r1"]
    assert revisions.names(published) == names
    before = [revisions.verify(published / name) for name in names]
    said = churn(place, "weekly", "from=2025-10-20", "to=2025-10-27", *NO_SERVER, expected=6)
    assert "mail digest.eml of 2025-10-27/r1 was not delivered" in said
    told = json.loads((published / "status.json").read_text())
    assert told["exit_code"] == 6
    assert [(one["name"], one["is_delivered"]) for one in told["deliveries"]] == [
        ("digest.eml", False)
    ]
    assert len(list((place / "outbox" / "waiting").iterdir())) == 1
    assert revisions.names(published) == names
    assert [revisions.verify(published / name) for name in names] == before
    assert revisions.current(published) == published / "2025-10-27/r1"
    counts = before[0]["counts"]
    assert counts["active_customers"] == counts["scored"] + counts["not_scored"]
    sides = counts["sides"]
    assert {"customers", "subscriptions", "contacts"} <= set(sides)
    assert all(one["read"] == one["used"] + one["excluded"] for one in sides.values())
    for name, one in sides.items():
        assert one["read"] == made_from_rows(before[0], name)
    rows = counts["rows"]
    assert rows["read"] == rows["used"] + rows["duplicate"] + rows["excluded"] + rows["refused"]
    made_from = before[0]["inputs"]
    assert set(made_from) == {"deliveries", *USAGE, *SIDES}
    for name in (*USAGE, *SIDES):
        assert made_from[name]["sha256"] == tables.fingerprint(place / name, made_by="rollup"), name
    assert made_from["texts"]["rows"] > 0
    text = json.dumps(before)
    assert str(place) not in text
    assert "2025-10-27" in (published / "index.html").read_text()


def made_from_rows(manifest, name: str) -> int:
    return manifest["inputs"][name]["rows"]


def test_everybody_whom_a_slow_count_finds_subscribed_is_scored(place):
    for as_of in tables.names(place / "scores"):
        found = [
            tables.read(place / name, made_by="score", part=as_of)["customer_id"]
            for name in ("scores", "not_scored")
        ]
        assert not set(found[0]) & set(found[1])
        assert sorted(set(found[0]) | set(found[1])) == subscribed(place, as_of)


def test_no_file_that_people_open_shows_a_hold_out(place, tmp_path):
    place = nobody_assigned(place, tmp_path / "ws")
    churn(place, "weekly", "from=2025-10-20", "to=2025-10-27", "retain.holdout=0.5")
    for as_of in ("2025-10-20", "2025-10-27"):
        chosen = tables.read(place / "qualified", made_by="retain", part=as_of)
        held = set(chosen.loc[chosen["arm"] == "holdout", "customer_id"])
        last = revisions.names(place / "published")
        folder = place / "published" / max(name for name in last if name.startswith(as_of))
        listed = set(pd.read_parquet(folder / "retention_list.parquet")["customer_id"])
        assert held
        assert set(chosen.loc[chosen["is_listed"], "customer_id"]) == listed
        for name in ("retention_list.csv", "retention_list.html", "digest.eml", "card.md"):
            text = (folder / name).read_text()
            assert not [customer for customer in held if customer in text], name
        cells = openpyxl.load_workbook(folder / "retention_list.xlsx")["List"].iter_rows(
            values_only=True
        )
        assert not held & {str(value) for row in cells for value in row}
        assert b"holdout" not in b"".join(path.read_bytes() for path in folder.glob("*.html"))
    assigned = tables.read(place / "assignments", made_by="retain")
    assert not assigned["customer_id"].duplicated().any()
    assert set(assigned["propensity"]) == {0.5}


def test_a_list_tells_who_stayed_who_left_it_and_what_moved_a_risk(place):
    churn(place, "weekly", "from=2025-10-20", "to=2025-10-27")
    first, second = (
        pd.read_parquet(place / "published" / name / "retention_list.parquet")
        for name in ("2025-10-20/r1", "2025-10-27/r1")
    )
    before = set(first["customer_id"])
    assert first["status"].eq("new").all()
    still = second[second["customer_id"].isin(before)]
    assert still["status"].eq("still").all()
    assert still["weeks_on_list"].eq(2).all()
    page = (place / "published" / "2025-10-27" / "r1" / "retention_list.html").read_text()
    assert "Since 20 Oct 2025 the risk moved by" in page or "The risk is what it was" in page
    manifest = revisions.verify(place / "published" / "2025-10-27/r1")
    told = manifest["previous"]
    assert told["revision"] == "2025-10-20/r1"
    assert told["manifest_sha256"] == tables.sha256(
        place / "published" / "2025-10-20/r1" / "manifest.json"
    )


def test_scores_and_list_answer_every_horizon_in_order(tmp_path_factory, place):
    """Of a model: the rule that ranks this small log's list knows no day from another."""
    place = shutil.copytree(place, tmp_path_factory.mktemp("horizons") / "ws")
    bundle.point(place, "champion", bundle.load(place, "challenger").entry)
    for command in ("score", "explain", "retain"):
        churn(place, command, "as_of=2025-10-20")
    scores = pd.concat(map(pd.read_parquet, (place / "scores").glob("2025-10-20*.parquet")))
    risks = scores[["risk_2w", "risk_4w", "risk_8w", "risk_12w"]].to_numpy()
    assert (risks[:, 1:] >= risks[:, :-1]).all()
    assert (risks[:, -1] > risks[:, 0]).any()
    assert (scores["risk_4w"] == scores["risk"]).all()
    days = (pd.to_datetime(scores["act_before"]) - pd.Timestamp("2025-10-20")).dt.days
    assert days.between(0, 28).all()
    assert days.nunique() > 1
    listed = pd.concat(map(pd.read_parquet, (place / "retention").glob("2025-10-20*.parquet")))
    both = listed.merge(scores, on="customer_id", suffixes=("", "_scored"))
    assert len(both) == len(listed) > 0
    assert (both["act_before"] == both["act_before_scored"]).all()
    assert (both["risk_8w"] == both["risk_8w_scored"]).all()
    assert (both["at_stake"] / both["value_month"] / 12 / both["risk_8w"]).round(9).eq(1).all()


def test_status_knows_the_published_list_from_another(place):
    churn(place, "weekly", "as_of=2025-10-27")
    assert "fresh" in churn(place, "status", "as_of=2025-10-27")
    assert "too old" in churn(place, "status", "as_of=2025-11-10", expected=4)
    csv = place / "published" / "2025-10-27" / "r1" / "retention_list.csv"
    before = csv.read_bytes()
    csv.write_bytes(before[:-1])
    try:
        assert "retention_list.csv" in churn(place, "status", "as_of=2025-10-27", expected=3)
    finally:
        csv.write_bytes(before)


def test_a_list_that_no_model_stands_behind_says_so(place, tmp_path):
    own = tmp_path / "ws"
    shutil.copytree(place, own)
    shutil.copy(own / "rule.json", own / "champion.json")
    for command in ("score", "explain", "retain"):
        churn(own, command, "as_of=2025-10-20")
    folder = own / "retention" / "2025-10-20"
    for name in ("retention_list.html", "digest.eml"):
        assert "Rule-based: no model has beaten it yet" in (folder / name).read_text(), name
    scores = pd.read_parquet(next((own / "scores").glob("2025-10-20*.parquet")))
    scored = pd.read_parquet(next((own / "scored").glob("2025-10-20*.parquet")))
    rule = json.loads((own / "rule.json").read_text())["rule"]
    column = {"longest_silent": "recency_days", "biggest_drop": "n_events_trend_28d"}[rule]
    ranked = scores.merge(scored[["customer_id", column]].dropna(), on="customer_id")
    direction = 1 if rule == "longest_silent" else -1
    assert ranked["risk"].corr(direction * ranked[column], method="spearman") > 0.999


def test_a_dry_run_tells_the_difference_and_leaves_no_trace(place):
    """Beside what the log's intake writes, which is what the next run would take in."""
    taken_in = {*USAGE, *SIDES, "deliveries", "people", "rejects", ".lock"}

    def kept() -> dict[Path, bytes]:
        mine = [p for p in place.rglob("*") if p.is_file()]
        return {p: p.read_bytes() for p in mine if p.relative_to(place).parts[0] not in taken_in}

    before = kept()
    said = churn(place, "weekly", "as_of=2025-11-03", "weekly.dry_run=true")
    assert "dry run: " in said
    assert kept() == before
    assert [path.name for path in place.glob(".*")] == [".lock"]


def test_a_model_that_kills_its_process_publishes_nothing_and_is_named(place, tmp_path):
    """Its hash is the registered one; LightGBM aborts the process that opens such a text."""
    own = unpublished(place, tmp_path / "ws")
    churn(own, "weekly", "as_of=2025-10-20")
    entry = bundle.pointer(own, "challenger")
    booster = own / "models" / entry["version"] / bundle.BOOSTER
    booster.write_text(booster.read_text()[: booster.stat().st_size // 2])
    registered = {**entry["sha256"], bundle.BOOSTER: tables.sha256(booster)}
    bundle.point(own, "champion", {**entry, "sha256": registered})
    before = revisions.verify(own / "published/2025-10-20/r1")
    said = churn(own, "weekly", "as_of=2025-10-27", expected=4)
    assert re.search(rf"SIG(ABRT|SEGV) in `score`, with model {entry['version']}", said)
    assert revisions.names(own / "published") == ["2025-10-20/r1"]
    assert revisions.verify(own / "published/2025-10-20/r1") == before
    status = json.loads((own / "published" / "status.json").read_text())
    assert (status["exit_code"], status["is_stale"]) == (4, True)


def test_the_list_comes_out_though_everything_it_is_sent_to_is_down(place, tmp_path, monkeypatch):
    pytest.importorskip("psycopg")
    monkeypatch.setenv("CHURN_SQL_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("CHURN_NOTIFY_URL", "json://127.0.0.1:1/hook")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    own = shutil.copytree(place, tmp_path / "ws", ignore=shutil.ignore_patterns("published"))
    down = [
        *NO_SERVER, "deliver.copy_to=s3://lists/churn", "deliver.notify=[CHURN_NOTIFY_URL]",
        "sink=sql", "train.tracking_uri=http://127.0.0.1:1",
    ]  # fmt: skip
    churn(own, "weekly", "as_of=2025-10-27", *down, expected=6)
    published = own / "published"
    assert revisions.current(published) == published / "2025-10-27/r1"
    revisions.verify(published / "2025-10-27/r1")
    status = json.loads((published / "status.json").read_text())
    assert (status["exit_code"], status["is_stale"]) == (6, False)
    waiting = [one["name"] for one in status["deliveries"] if not one["is_delivered"]]
    assert sorted(waiting) == [
        "CHURN_NOTIFY_URL", "deliver.copy_to", "digest.eml", "retention", "scores",
    ]  # fmt: skip
    assert list((own / "mlflow" / "spool").glob("*/run.json"))
    there = tmp_path / "copy"
    words = [*down, f"deliver.copy_to=file://{there}"]
    churn(own, "deliver", *words, expected=6)
    assert (there / "CURRENT").read_text() == "2025-10-27/r1\n"


def test_the_weekly_job_itself_never_loads_what_opens_a_model(place):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "churn", "weekly", "as_of=2025-10-27",
         f"workspace={place}", *SMALL],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "churn.io.publish" in loaded
    assert not loaded & {"lightgbm", "sklearn"}


def test_replay_walks_the_past_in_its_own_folder(place):
    def kept() -> dict[Path, bytes]:
        mine = [p for p in place.rglob("*") if p.is_file() and "replay" not in p.parts]
        return {path: path.read_bytes() for path in mine if path.name != ".lock"}

    before = kept()
    churn(place, "replay", "from=2025-10-06", "to=2025-10-20", "replay.refit_weeks=2")
    assert kept() == before
    walked = revisions.names(place / "replay" / "published")
    assert walked == ["2025-10-06/r1", "2025-10-13/r1", "2025-10-20/r1"]
    versions = [
        revisions.verify(place / "replay" / "published" / name)["model_version"] for name in walked
    ]
    assert versions[0] == versions[1] != versions[2]


def test_an_as_of_before_the_first_event_exits_3(place):
    assert "before the log has anything to say" in churn(
        place, "score", "as_of=2024-01-01", expected=3
    )


def test_a_list_for_a_week_that_the_log_has_not_reached_exits_7(place):
    before = revisions.names(place / "published")
    assert "has not reached" in churn(place, "weekly", "as_of=2026-01-05", expected=7)
    assert revisions.names(place / "published") == before


def test_weeks_before_one_that_is_late_are_delivered(place, tmp_path):
    own = unpublished(place, tmp_path / "ws")
    with mailserver.started(tmp_path) as box:
        mail = [f"deliver.port={box.port}", *(word for word in NO_SERVER if "port" not in word)]
        said = churn(own, "weekly", "from=2025-11-03", "to=2025-11-17", *mail, expected=7)
    assert "published: 2025-11-03, 2025-11-10; not published: 2025-11-17" in said
    assert [to for to, _ in box.mails] == ["head@example.com"]
    told = json.loads((own / "published" / "status.json").read_text())
    assert (told["exit_code"], told["is_stale"], told["awaited"]) == (7, True, "2025-11-17")
    assert [one["is_delivered"] for one in told["deliveries"]] == [True]


def _losing(place: Path, *, days: int, share: float) -> None:
    """Take away `share` of the customers' rows from the last days of the log."""
    for path in sorted((place / "demo" / "events").glob("*.parquet")):
        rows = pq.read_table(path)
        last = pc.max(rows["ts"]).as_py()
        recent = pc.greater(rows["ts"], last - timedelta(days=days))
        lost = pa.array(
            [int(hashlib.sha256(one.encode()).hexdigest(), 16) % 100 < 100 * share
             for one in rows["customer_id"].to_pylist()]
        )  # fmt: skip
        if path == max((place / "demo" / "events").glob("*.parquet")):
            pq.write_table(rows.filter(pc.invert(pc.and_(recent, lost))), path)


def test_a_week_that_is_not_plausible_is_held_back_told_and_overruled(place, tmp_path):
    place = unpublished(place, tmp_path / "ws")
    published = place / "published"
    churn(place, "weekly", "as_of=2025-10-20")
    kept = revisions.verify(revisions.current(published))
    assert {one["outcome"] for one in kept["gates"].values()} <= {"passed", "unknown"}
    _losing(place, days=9, share=0.8)
    with mailserver.started(tmp_path) as box:
        mail = [f"deliver.port={box.port}", *(word for word in NO_SERVER if "port" not in word)]
        said = churn(place, "weekly", *mail, expected=4)
    assert "gate volume holds the list of 2025-11-09 back (and " in said
    assert "expected: 0.5 to 1.8" in said
    assert revisions.verify(revisions.current(published)) == kept
    assert revisions.names(published) == ["2025-10-20/r1"]
    told = json.loads((published / "status.json").read_text())
    assert (told["exit_code"], told["is_stale"], told["as_of"]) == (4, True, "2025-10-20")
    assert float(told["refused"]["got"]) < 0.5
    page = (published / "index.html").read_text()
    assert "STALE, data as of 20 Oct 2025" in page
    assert "weekly.accept=[volume,customers" in page
    [(to, stale)] = box.mails
    assert (to, "gate volume" in stale["Subject"]) == ("head@example.com", True)
    assert "still that of 20 Oct 2025" in stale.get_content()
    report = (place / "quality" / "2025-11-09.html").read_text()
    assert "Held back by volume" in report
    gates = told["refused"]["next_step"].partition("weekly.accept=[")[2].partition("]")[0]
    churn(place, "weekly", f"weekly.accept=[{gates}]")
    recorded = revisions.verify(revisions.current(published))["gates"]
    accepted = {name for name, one in recorded.items() if one["is_accepted"]}
    assert {"volume", "customers"} <= accepted <= set(gates.split(","))
    told = json.loads((published / "status.json").read_text())
    assert (told["exit_code"], told["is_stale"], told["refused"]) == (0, False, None)
    assert "STALE" not in (published / "index.html").read_text()
    assert "did you mean volume" in churn(place, "weekly", "weekly.accept=[volum]", expected=2)


def handed_out(place: Path) -> dict[Path, bytes]:
    """Every file that says whom a list named."""
    found = [path for name in HANDED_OUT for path in (place / name).rglob("*") if path.is_file()]
    return {path.relative_to(place): path.read_bytes() for path in found}


def test_nobody_counts_as_handed_out_by_a_list_that_was_held_back(place, tmp_path):
    """Neither of a new week nor of one that is published: impact, track record and the list of
    `churn.open` know what people got."""
    own = unpublished(place, tmp_path / "ws")
    churn(own, "weekly", "as_of=2025-10-20")
    before = handed_out(own)
    assert {path.parts[0] for path in before} == set(HANDED_OUT)
    too_long = ["retain.capacity_per_owner=200", "weekly.accept=[scores,features]"]
    assert "gate list_size" in churn(own, "weekly", "as_of=2025-10-27", *too_long, expected=4)
    assert handed_out(own) == before
    churn(own, "weekly", "as_of=2025-10-27")
    assert tables.names(own / "assignments") == ["2025-10-20", "2025-10-27"]
    listed = pd.read_parquet(own / "published/2025-10-27/r1/retention_list.parquet")
    assert tables.read(own / "retention", made_by="retain", part="2025-10-27").equals(listed)
    before = handed_out(own)
    assert "gate list_size" in churn(own, "weekly", "as_of=2025-10-27", *too_long, expected=4)
    assert handed_out(own) == before
    assert revisions.names(own / "published") == ["2025-10-20/r1", "2025-10-27/r1"]


def test_from_without_to_exits_2(place):
    assert "belong together" in churn(place, "weekly", "from=2025-10-20", expected=2)


def test_from_and_to_beside_as_of_exits_2(place):
    words = ["from=2025-10-20", "to=2025-10-27", "as_of=2025-10-27"]
    said = churn(place, "weekly", *words, expected=2)
    assert "as_of= is one week, from= and to= are several" in said
    assert "rollup" not in said


def test_a_missed_week_made_late_assigns_nobody_twice_and_changes_no_arm(place, tmp_path):
    """Another share is held out then: who is in an arm of this block stays there, and who comes new
    is drawn with the new share."""
    own = nobody_assigned(place, tmp_path / "ws")
    churn(own, "weekly", "as_of=2025-11-03")
    before = records.assignments(own).set_index("customer_id")
    more = ["retain.holdout=0.5", "retain.capacities={Nobody Abel: 3}"]
    said = churn(own, "weekly", "from=2025-10-27", "to=2025-10-27", *more)
    assert "retain.capacities: nobody belongs to owner Nobody Abel" in said
    rows = tables.read(own / "assignments", made_by="retain")
    assert not rows.duplicated(["customer_id", "block"]).any()
    after = rows.set_index("customer_id")
    kept = ["arm", "propensity", "is_pilot"]
    pd.testing.assert_frame_equal(after.loc[before.index, kept], before[kept])
    late = tables.read(own / "qualified", made_by="retain", part="2025-10-27")
    assert set(late["customer_id"]) & set(before.index)
    assert set(late["customer_id"]) == set(after.index[after["as_of"].astype(str) == "2025-10-27"])
    assert late["arm"].tolist() == after.loc[late["customer_id"], "arm"].tolist()
    assert set(after.loc[after.index.difference(before.index), "propensity"]) <= {0.5}


def test_nobody_worth_contacting_exits_4(place):
    words = ["as_of=2025-10-20", "retain.contact_cost=1e12"]
    assert "nobody is worth contacting" in churn(place, "run", *words, expected=4)


def test_another_known_at_than_that_of_the_rollup_exits_2(place):
    said = churn(place, "score", "as_of=2025-10-20", "known_at=2025-10-20T00:00:00", expected=2)
    assert "churn rollup" in said


def test_a_definition_under_which_nobody_churns_exits_4(tmp_path):
    days = pd.date_range("2025-01-01", "2025-06-30", freq="D").strftime("%Y-%m-%d %H:%M:%S")
    log = pd.MultiIndex.from_product(
        [[f"c{n}" for n in range(40)], days], names=["customer_id", "ts"]
    )
    log.to_frame(index=False).assign(event="login").to_csv(tmp_path / "log.csv", index=False)
    place = tmp_path / "ws"
    words = ["source=files", f"source.events={tmp_path}/log.csv", "churn.horizon_days=14"]
    churn(place, "rollup", *words)
    churn(place, "features", *words)
    said = churn(place, "train", *words, expected=4)
    assert "churn.horizon_days" in said
    assert "next:" in said
    assert not (place / "challenger.json").exists()


OWN = """\
family: mine
features:
  - {name: n_monday_events_56d, sentence: Events on Mondays in the last eight weeks, unit: events,
     expression: SUM(CASE WHEN weekday = 0 AND age_days <= 56 THEN n_use END), empty: 0}
"""


@pytest.fixture(scope="module")
def own(place, tmp_path_factory) -> tuple[Path, list[str]]:
    """The same log in a workspace of its own, and the words that add a user's five lines. The other
    families are left out, so that whatever the model says, it says by this feature."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.yaml").write_text(OWN)
    shutil.copytree(place, folder / "ws")
    for pointer in ("champion.json", "challenger.json"):
        (folder / "ws" / pointer).unlink()
    others = {item["family"] for item in map(yaml.safe_load, default_families())}
    without = f"features.without=[{','.join(sorted(others))}]"
    return folder / "ws", [f"features.more=[{folder / 'mine.yaml'}]", without]


def default_families() -> list[str]:
    return [path.read_text() for path in (CONF / "features" / "families").glob("*.yaml")]


def test_a_feature_of_ones_own_reaches_panel_model_and_reasons(own):
    place, words = own
    for command in ("features", "train"):
        churn(place, command, "as_of=2025-10-20", *words)
    bundle.point(
        place, "champion", bundle.load(place, "challenger").entry
    )  # Mondays alone pass no gate
    for command in ("score", "explain"):
        churn(place, command, "as_of=2025-10-20", *words)
    import churn as product

    book = product.open(str(place))
    assert book.panel()["n_monday_events_56d"].gt(0).any()
    version = json.loads((place / "champion.json").read_text())["version"]
    spec = json.loads((place / "models" / version / "spec.json").read_text())
    assert [item["name"] for item in spec["features"]] == ["n_monday_events_56d"]
    said = book.reasons()
    said = said[pd.to_datetime(said["as_of"]) == "2025-10-20"]  # other weeks are another model's
    assert set(said["family"]) <= {"mine"}, "shown only if those with many Mondays left more often"
    told = tables.read(place / "backtest_reasons", made_by="train", part=version)
    mine = told[told["family"] == "mine"]
    assert mine["contribution"].abs().max() > 0
    assert told.loc[told["family"] != "mine", "contribution"].eq(0).all()


def test_a_feature_of_ones_own_stands_in_the_generated_catalogue(own):
    _, words = own
    page = subprocess.run(
        [sys.executable, "docs/catalogue.py", words[0].removeprefix("features.more=[")[:-1]],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1],
    ).stdout  # fmt: skip
    row = "| `n_monday_events_56d` | Events on Mondays in the last eight weeks | events |"
    assert row in page.partition("## mine")[2]


def test_a_column_that_does_not_exist_is_refused_with_the_nearest_one(own, tmp_path):
    place, _ = own
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(OWN.replace("weekday", "wekday"))
    said = churn(place, "features", "as_of=2025-10-20", f"features.more=[{wrong}]", expected=2)
    assert "wekday" in said
    assert "weekday" in said
