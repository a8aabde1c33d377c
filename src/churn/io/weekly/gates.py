"""The gates of the weekly job: what they read, how a run is held back, what is remembered of a week."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import parse_one

from churn.contracts import SOURCES
from churn.errors import ChurnError, ConfigurationError, HeldBackError, NotArrivedError, nearest
from churn.features import panel
from churn.io import bundle, revisions, tables
from churn.io.engine import Engine, opened, resources
from churn.io.modelling import departures, plans
from churn.io.weekly import past_weeks
from churn.io.weekly.past_weeks import Week
from churn.io.workspace import SIDES, Workspace
from churn.retention import drift
from churn.settings import Settings
from churn.timeline import midnight
from churn.usage import known_weeks, quality
from churn.usage.quality import Verdict

SOURCES_OF_DATES = {
    "customers": ("signed_up_at", "valid_from"),
    "subscriptions": ("start_date", "term_start", "valid_from"),
    "contacts": ("contacted_at",),
}
"""Which columns of a side table say that it is still written."""

MOST_ROWS = 20_000
"""Of a week's features: enough for an index that is right to .001."""

SILENT_DAYS = 56
SILENT_BACK = (0, 1, 4, 8)
"""Customers without an event are counted for this week and some before: all nine would cost more
than the features of a week."""

N_MATURED = 4
"""How many matured weeks, one label window apart, say whether the risks came true."""

GATES = (
    "freshness", "volume", "customers", "last_day", "event_types", "values", "hours", "columns",
    "refused_rows",
    *(f"{name}_rows" for name in SIDES), *(f"{name}_freshness" for name in SOURCES_OF_DATES),
    "customers_without_events",
    "scores", "mean_risk", "features", "calibration", "expected_performance", "list_size",
)  # fmt: skip


def require_names(accept: Sequence[str]) -> None:
    """Raise `ConfigurationError` for a gate in `weekly.accept` that does not exist."""
    for name in accept:
        if name not in GATES:
            raise ConfigurationError(
                "weekly.accept names a gate that does not exist",
                got=name,
                expected=nearest(name, list(GATES)),
                next_step="write the gate's name as the refusal says it",
            )


def of_sources(settings: Settings, as_of: date) -> Week:
    """The verdicts on what came in for the week of `as_of`, before anybody is scored."""
    bands, workspace = settings.quality, Workspace(settings.place, settings.arrival(as_of))
    usage = workspace.usage_facts()
    first_day = date.fromisoformat(usage["first_day"])
    weeks = max(0, min(bands.weeks, (as_of - first_day).days // 7 - 1))
    places = panel.places(usage["event_types"])
    counted = ["n", "n_value", "value_sum", "n_person", "n_night", *places.values()]
    with opened(resources(settings.engine), workspace.usage()) as engine:
        days = engine.table(known_weeks.days_as_known(as_of, weeks=weeks))["day"].to_pylist()
        rows = _weeks(engine, as_of, weeks, counted, n_days=7)
        last = _weeks(engine, as_of, weeks, ["n"], n_days=1)
        silent = _without_events(engine, settings, as_of, usage, first_day)
    last_day = date.fromisoformat(usage["last_day"])
    verdicts = [
        quality.freshness(days, as_of=as_of, first_day=first_day, last_day=last_day),
        *quality.volume(rows, bands),
        quality.last_day(last, bands),
        quality.event_types(rows, places, bands),
        quality.values(rows, bands),
        quality.hours(rows),
        quality.columns(rows),
        *_deliveries(settings, as_of, usage),
        *_side_tables(settings, workspace, as_of),
        *silent,
    ]
    n_rows = float(rows.loc[rows["back"] == 0, "n"].sum())
    return Week(as_of, quality.accepted(verdicts, settings.weekly.accept), {"n_rows": n_rows})


def _weeks(
    engine: Engine, as_of: date, weeks: int, columns: list[str], *, n_days: int
) -> pd.DataFrame:
    asked = known_weeks.weeks_as_known(as_of, weeks=weeks, columns=columns, n_days=n_days)
    return engine.table(asked).to_pandas()


def _without_events(
    engine: Engine, settings: Settings, as_of: date, usage: Mapping[str, Any], first_day: date
) -> list[Verdict]:
    """Of subscribers, who may never have used anything; who is active has an event by definition."""
    churn = departures.definition(settings)
    if churn.name == "inactivity":
        return []
    ends = [as_of - timedelta(days=7 * back) for back in SILENT_BACK]
    ends = [end for end in ends if (end - first_day).days >= SILENT_DAYS]
    if not ends:
        return [quality.unknown("customers_without_events", "the log is shorter than eight weeks")]
    plan = plans.without_features(
        replace(settings, churn=churn), sorted(ends), as_of, usage["event_types"]
    )
    people = panel.statement(plan).sql(dialect="duckdb")
    seen = " UNION ALL ".join(
        f"SELECT DATE '{end}' AS snapshot, customer_id FROM "
        f"({known_weeks.customers_seen(end, n_days=SILENT_DAYS).sql(dialect='duckdb')}) AS s"
        for end in ends
    )
    asked = parse_one(
        f"""
        SELECT p.snapshot, COUNT(*) AS n, COUNT(s.customer_id) AS n_seen
        FROM ({people}) AS p
        LEFT JOIN ({seen}) AS s ON s.snapshot = p.snapshot AND s.customer_id = p.customer_id
        GROUP BY p.snapshot ORDER BY p.snapshot DESC
        """,
        dialect="duckdb",
    )
    rows = engine.table(asked).to_pandas()
    shares = (1 - rows["n_seen"] / rows["n"]).tolist()
    return (
        [quality.without_events(shares, int(rows["n"].iloc[0]), settings.quality)] if shares else []
    )


def _deliveries(settings: Settings, as_of: date, usage: Mapping[str, Any]) -> list[Verdict]:
    before = _manifest(settings, as_of).get("inputs", {}).get("deliveries", [])
    known = {one["sha256"] for one in before}
    now = [one for one in usage["deliveries"] if one["sha256"] not in known]
    return [quality.refused(now, before, settings.quality)]


def _side_tables(settings: Settings, workspace: Workspace, as_of: date) -> list[Verdict]:
    before = _manifest(settings, as_of).get("inputs", {})
    found = []
    for name in SIDES:
        files = tables.parts(workspace.folder(name), made_by="rollup").values()
        n_now = sum(pq.ParquetFile(path).metadata.num_rows for path in files)
        n_before = before.get(name, {}).get("rows")
        found.append(quality.side_table(name, n_now, n_before, settings.quality))
        if name in SOURCES_OF_DATES:
            days = _days_of(workspace, name, as_of)
            weeks = settings.quality.weeks
            found.append(quality.newest(name, days, as_of=as_of, weeks=weeks))
    return [one for one in found if one is not None]


def _days_of(workspace: Workspace, name: str, as_of: date) -> list[date]:
    """The days on which something in a side table began, before `as_of` and as known then."""
    known = [*SOURCES_OF_DATES[name], "loaded_at"]
    columns = [column for column in known if column in SOURCES[name].columns]
    rows = tables.read(workspace.folder(name), made_by="rollup", columns=columns)
    if "loaded_at" in rows:
        rows = rows[~(rows["loaded_at"] >= workspace.arrival.cut(as_of))]
    moments = pd.concat([pd.to_datetime(rows[column]) for column in SOURCES_OF_DATES[name]])
    days = moments[moments < pd.Timestamp(midnight(as_of))].dt.normalize().dropna().unique()
    return sorted(pd.Timestamp(day).date() for day in days)


def _manifest(settings: Settings, as_of: date) -> dict[str, Any]:
    """That of the list before `as_of`; nothing where none was published."""
    before = revisions.latest(settings, as_of)
    if before is None or before.revision is None:
        return {}
    return revisions.manifest_of(settings.place / "published" / before.revision)


def of_scores(settings: Settings, week: Week) -> Week:
    """`week` with the verdicts on its scores and its list, and what is to be remembered of them."""
    as_of, bands = week.as_of, settings.quality
    workspace, part = Workspace(settings.place), as_of.isoformat()
    version = bundle.described(settings.place).version
    risk = tables.read(workspace.folder("scores"), made_by="score", part=part, columns=["risk"])[
        "risk"
    ]
    now = _features(workspace, part)
    past = past_weeks.plausible(settings.place, as_of, n=bands.weeks)
    same = past_weeks.of_model(past, version)
    auc = drift.expected_auc(risk.to_numpy())
    listed = tables.read(
        workspace.folder("retention"), made_by="retain", part=part, columns=["risk"]
    )
    earlier_risk = _week_before(workspace, part)
    moved = drift.shifts(now, [((as_of - one.as_of).days, one.shapes) for one in past])
    expected, happened = _matured(settings, workspace, as_of)
    sizes = [int(week.figures["n_listed"]) for week in past if "n_listed" in week.figures]
    verdicts = [
        drift.scores(risk, earlier_risk, bands),
        drift.mean_risk(risk, earlier_risk, bands),
        drift.features(moved, _importance(workspace), n_weeks=len(past), bands=bands),
        drift.calibration(expected, happened, bands),
        drift.performance(
            auc, [week.figures["expected_auc"] for week in same if "expected_auc" in week.figures], bands
        ),
        drift.list_size(len(listed), sizes),
    ]  # fmt: skip
    figures = week.figures | {
        "n_scored": float(len(risk)),
        "mean_risk": float(risk.mean()),
        "n_listed": float(len(listed)),
    }
    figures |= {} if auc is None else {"expected_auc": auc}
    told = [*week.verdicts, *quality.accepted(verdicts, settings.weekly.accept)]
    first = moved.sort_values("index", ascending=False, kind="stable").head(past_weeks.N_MOVED)
    return Week(
        as_of,
        told,
        figures,
        model_version=version,
        shapes={str(name): drift.shape(now[name]) for name in now.columns},
        moved=dict(zip(first["feature"], first["index"], strict=True)),
    )


def _features(workspace: Workspace, part: str) -> pd.DataFrame:
    """The features of the week's customers, of at most `MOST_ROWS` evenly spread over them."""
    files = tables.parts(workspace.folder("scored"), made_by="score")
    rows = pa.concat_tables(
        [pq.read_table(path) for name, path in files.items() if tables.part_of(name) == part]
    )
    chosen = np.unique(np.linspace(0, rows.num_rows - 1, min(MOST_ROWS, rows.num_rows)).astype(int))
    return rows.drop_columns(["snapshot", "customer_id"]).take(chosen).to_pandas()


def _importance(workspace: Workspace) -> dict[str, float]:
    """What `churn explain` found of how much of the scores each feature moves."""
    return dict(tables.read_json(workspace.folder("reasons") / "importance.json"))


def _week_before(workspace: Workspace, part: str) -> pd.Series | None:
    """What the same model says of the week before, as known then."""
    rows = tables.read(workspace.folder("rescored"), made_by="score", part=part)
    return rows.loc[rows["snapshot"] == rows["snapshot"].max(), "risk"] if len(rows) else None


def _matured(settings: Settings, workspace: Workspace, as_of: date) -> tuple[float, int]:
    """How many were to leave by the last matured scores, a label window apart, and how many left."""
    churn = departures.definition(settings)
    window = timedelta(days=churn.gap_days + churn.horizon_days)
    days: list[date] = []
    for part in sorted(tables.names(workspace.folder("scores")), reverse=True):
        day = date.fromisoformat(part)
        if day + window <= (days[-1] if days else as_of) and len(days) < N_MATURED:
            days.append(day)
    if not days:
        return 0.0, 0
    became = departures.left_after(settings, as_of, days)
    expected = happened = 0.0
    for day in days:
        rows = tables.read(
            workspace.folder("scores"),
            made_by="score",
            part=day.isoformat(),
            columns=["customer_id", "risk"],
        )
        both = rows.merge(became[became["as_of"] == day], on="customer_id")
        expected, happened = expected + both["risk"].sum(), happened + both["label"].sum()
    return float(expected), int(happened)


def recorded(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """`verdicts` as a manifest has them, by gate."""
    return {
        one.gate: {key: value for key, value in asdict(one).items() if key != "gate"}
        for one in verdicts
    }


def refusal(week: Week) -> ChurnError | None:
    """The error that holds a run back for the first verdict that stops it, None where none does.

    What has not arrived comes first: the rest may be wrong for that alone.
    """
    stops = [one for one in week.verdicts if one.stops]
    if not stops:
        return None
    waits = [one for one in stops if one.outcome == quality.NOT_ARRIVED]
    if waits:
        return NotArrivedError(
            f"the log has not reached as_of={week.as_of} yet: {waits[0].measured} (gate {waits[0].gate})",
            got=found(waits[0]),
            expected=band(waits[0]),
            next_step=waits[0].next_step,
        )
    first, *others = stops
    more = f" (and {', '.join(other.gate for other in others)})" if others else ""
    overruled = [one.gate for one in week.verdicts if one.stops or one.is_accepted]
    overrule = f"if it is right as it is, run again with weekly.accept=[{','.join(overruled)}]"
    return HeldBackError(
        f"gate {first.gate} holds the list of {week.as_of} back{more}: {first.measured}",
        got=found(first),
        expected=band(first),
        next_step=f"{first.next_step}; {overrule}",
    )


def found(verdict: Verdict) -> str:
    """The figure in words."""
    return "nothing" if verdict.figure is None else f"{verdict.figure:.4g}"


def band(verdict: Verdict) -> str:
    """Where the figure should lie, in words.

    >>> band(Verdict("volume", "rows", 0.1, 0.5, 2.0, "held"))
    '0.5 to 2'
    """
    low, high = verdict.low, verdict.high
    if low is None and high is None:
        return "something to judge"
    if low is None:
        return f"at most {high:.4g}"
    return f"at least {low:.4g}" if high is None else f"{low:.4g} to {high:.4g}"
