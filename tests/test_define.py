"""`churn define`: who comes back after a silence, by candidate, and what is recommended."""

import logging
from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
import together
import world as worlds
from reference import World

from churn.errors import HeldBackError
from churn.features import candidates
from churn.features.candidates import Candidates
from churn.io.engine import opened, resources
from churn.io.workspace import Workspace
from churn.settings import DefineSettings, Settings
from churn.stages import define

SPARK = [*together.ON_SPARK, pytest.mark.slow]
FIRST, AS_OF = date(2026, 1, 1), date(2026, 5, 1)
SNAPSHOTS = [date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 10)]
ASKED = Candidates([7, 20], [5, 14, 30], gap_days=3, return_days=21)


def log(*, seed: int = 3, n_customers: int = 60) -> World:
    """Customers with rhythms of their own who may stop; some rows arrive late, some never count."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(n_customers):
        day, pause = 0, random.choice([2, 9, 30])
        while day < 120 and random.random() > 0.02:
            ts = datetime(2026, 1, 1, 12) + timedelta(days=int(day))
            late = timedelta(days=int(random.choice([0, 0, 0, 12])))
            row = {"customer_id": f"c{number}", "ts": ts, "event": "login", "loaded_at": ts + late}
            rows.append(row)
            rows.append(row | {"event": "error"})
            day += 1 + random.poisson(pause)
    rows.append(rows[0] | {"ts": datetime(2026, 1, 1, 1), "event": "error", "customer_id": "x"})
    return World(events=rows)


def days_of(world: World) -> dict[str, list[date]]:
    """customer → the days with a login that were known at `AS_OF`, in order."""
    known = datetime(2026, 5, 1, 6)
    found: dict[str, set[date]] = {}
    for row in world.events:
        if row["event"] == "login" and row["loaded_at"] < known and row["ts"].date() < AS_OF:
            found.setdefault(row["customer_id"], set()).add(row["ts"].date())
    return {who: sorted(days) for who, days in found.items()}


@pytest.fixture(scope="module", params=["duckdb", pytest.param("spark", marks=SPARK)])
def found(request, tmp_path_factory) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of `steps` and of `around`, by each engine."""
    place = worlds.rolled_up(log(), tmp_path_factory.mktemp("log"))
    workspace = Workspace(place)
    types = workspace.usage_facts()["event_types"]
    qualifying = f"c_{types.index('login'):02d}"
    given = together.spark() if request.param == "spark" else resources(Settings().engine)
    with opened(given, workspace.usage()) as engine:
        steps = engine.table(candidates.steps(qualifying=qualifying, known_on=AS_OF))
        asked = {"qualifying": qualifying, "known_on": AS_OF, "asked": ASKED}
        around = engine.table(candidates.around(SNAPSHOTS, **asked))
        return steps.to_pandas(), around.to_pandas()


def test_rates_are_those_of_counting_one_customer_after_another(found) -> None:
    rates = candidates.rates(found[1], ASKED, first_day=FIRST, known_on=AS_OF)
    wanted = []
    for s in SNAPSHOTS:
        for active in ASKED.active_days:
            for horizon in ASKED.horizon_days:
                start = s + timedelta(days=3)
                if start + timedelta(days=horizon) > AS_OF:
                    continue
                alive = [
                    days
                    for days in days_of(log()).values()
                    if any(s - timedelta(days=active) <= day < s for day in days)
                ]
                end = start + timedelta(days=horizon)
                gone = [days for days in alive if not any(start <= day < end for day in days)]
                seen = end + timedelta(days=21)
                back = [days for days in gone if any(end <= day < seen for day in days)]
                is_known = seen <= AS_OF
                row = (active, horizon, s, len(alive), len(gone))
                wanted.append((*row, len(gone) * is_known, len(back) * is_known))
    assert [tuple(row) for row in rates.itertuples(index=False)] == wanted
    assert len(wanted) == 16
    assert rates["n_back"].sum() > 5


def test_returning_is_that_of_looking_at_one_silence_after_another(found) -> None:
    curve = candidates.returning(found[0], days=[3, 10, 25], return_days=21).set_index(
        "silent_days"
    )
    for reached in (3, 10, 25):
        n = back = 0
        for days in days_of(log()).values():
            for day, after in zip(days, [*days[1:], None], strict=True):
                silent = ((after or AS_OF) - day).days - 1
                if silent >= reached and (AS_OF - day).days - 1 >= reached + 21:
                    n += 1
                    back += after is not None and silent < reached + 21
        assert n > 10
        assert curve.loc[reached, "n"] == n
        assert curve.loc[reached, "share"] == pytest.approx(back / n)


def by_hand(back: dict[tuple[int, int], float | None]) -> pd.DataFrame:
    rows = [
        {
            "active_days": a, "horizon_days": h, "n_snapshots": 9, "n_active": 1000.0, "churn": 0.1,
            "lowest": 0.05, "highest": 0.2, "back": np.nan if x is None else x, "known_after_days": h,
        }
        for (a, h), x in back.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def curve_of(shares: dict[int, float], n: int = 500) -> pd.DataFrame:
    return pd.DataFrame({"silent_days": shares.keys(), "n": n, "share": shares.values()})


CURVE = curve_of({14: 0.9, 28: 0.6, 56: 0.3})
BACK = {(a, h): x for a in (14, 28, 56) for h, x in {14: 0.6, 28: 0.15, 56: 0.02}.items()}
ASKED_BY_HAND = Candidates([14, 28, 56], [14, 28, 56])


def test_the_shortest_silence_that_means_gone_is_recommended() -> None:
    choice = candidates.chosen(by_hand(BACK), CURVE, ASKED_BY_HAND)
    assert choice is not None
    assert (choice.active_days, choice.horizon_days) == (28, 28)
    said = " ".join(choice.reasons)
    assert "60% of those who are silent for 28 days come back, after 56 days 30%" in said
    assert "15% of those it calls churned come back, at most the 20% asked for" in said
    assert "with 14 days it is 60%" in said
    assert "10.0% of 1,000 active customers churn" in said
    assert "from 5.0% to 20.0% over 9 snapshots" in said


@pytest.mark.parametrize(
    ("limit", "shares", "expected"),
    [
        (0.02, CURVE, (28, 56)),
        (0.01, CURVE, (28, 56)),  # none reaches it: the best there is
        (0.7, CURVE, (28, 14)),
        (0.2, curve_of({14: 0.4, 28: 0.3, 56: 0.1}), (14, 28)),
        (0.2, curve_of({14: 0.9, 28: 0.8, 56: 0.7}), (56, 28)),
        (0.2, curve_of({14: 0.9, 28: 0.8, 56: 0.7}, n=49), (14, 28)),  # too few to judge by
    ],
)
def test_what_is_recommended_follows_the_shares(limit, shares, expected) -> None:
    asked = replace(ASKED_BY_HAND, max_returning=limit)
    choice = candidates.chosen(by_hand(BACK), shares, asked)
    assert choice is not None
    assert (choice.active_days, choice.horizon_days) == expected
    assert ("no candidate does better" in choice.reasons[1]) == (limit == 0.01)


def test_nothing_is_recommended_where_nothing_could_be_followed() -> None:
    nothing = by_hand(dict.fromkeys(BACK))
    assert candidates.chosen(nothing, CURVE, ASKED_BY_HAND) is None


def test_few_silences_are_not_judged() -> None:
    rows = pd.DataFrame(
        [(14, 28, s, 400, 30, n, 3) for s, n in zip(SNAPSHOTS, (30, 19, 0), strict=True)],
        columns=["active_days", "horizon_days", "snapshot", "n_active", "n_churned", "n_followed", "n_back"],
    )  # fmt: skip
    assert candidates.table(rows, ASKED)["back"].isna().all()
    found = candidates.table(rows.assign(n_followed=[30, 20, 0]), ASKED).iloc[0]
    assert found["back"] == pytest.approx(9 / 50)
    assert (found["n_snapshots"], found["n_active"], found["known_after_days"]) == (3, 400, 31)
    assert found["churn"] == found["lowest"] == found["highest"] == pytest.approx(0.075)


@pytest.fixture
def settings(tmp_path) -> Settings:
    world = log(n_customers=200)
    place = worlds.rolled_up(world, tmp_path)
    asked = DefineSettings([7, 28], [7, 28], step_days=7, return_days=28, max_returning=0.5)
    given = worlds.settings_of(tmp_path, place, define=asked)
    return replace(given, churn=replace(given.churn, qualifying_events=["login"]))


def test_the_stage_prints_a_table_and_a_recommendation(settings, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="churn"):
        define.run(settings)
    folder = settings.place / "define"
    text = (folder / "definition.md").read_text()
    assert "Recommended: churn=inactivity churn.active_days=" in text
    assert text.splitlines()[0] in caplog.text
    assert (folder / "definition.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    before = [(folder / name).read_bytes() for name in ("definition.md", "definition.png")]
    define.run(settings)
    assert [(folder / n).read_bytes() for n in ("definition.md", "definition.png")] == before


def test_a_log_that_cannot_tell_says_so(settings) -> None:
    long = replace(settings, define=replace(settings.define, return_days=400))
    define.run(long)
    assert "No recommendation" in (settings.place / "define" / "definition.md").read_text()
    with pytest.raises(HeldBackError, match="too short"):
        define.run(replace(settings, as_of="2026-01-10"))
