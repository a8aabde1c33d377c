"""The order of stages: the whole path once, the weekly job, past weeks as if live."""

import dataclasses
import importlib
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from churn.errors import (
    ChurnError,
    ConfigurationError,
    DeliveryError,
    HeldBackError,
    LockedError,
    NotArrivedError,
)
from churn.io import bundle, journal, progress, publish, tables
from churn.io.lock import held
from churn.io.sending import delivery, sink, standing
from churn.io.weekly import apart, expiry, gate_report, gates, gauges, rehearsal
from churn.io.weekly.apart import Worker
from churn.io.weekly.past_weeks import Week
from churn.io.workspace import SIDES, USAGE, Workspace
from churn.settings import Settings, SinkSettings
from churn.timeline import as_of_dates, parse_date

log = logging.getLogger("churn")


LIST = ("score", "explain", "retain")
"""The stages that make a list; all of them open models."""


def run(settings: Settings) -> None:
    """From logs to a list: simulate (for the demo), rollup, features, train, promote, … retain."""
    sink.require(settings.sink)
    target, settings = settings.sink, _kept_local(settings)
    with held(settings.place, doing="run"):
        if settings.source.name == "demo" and not (settings.place / "demo").exists():
            _step("simulate", settings)
        _step("rollup", settings)
        _step("features", settings)
        _step("train", settings)
        _promote_if_better(settings)
        _list(settings)
        as_of = settings.as_of_or_last(Workspace(settings.place).usage_facts())
        sink.send(target, ["panel", "scores", "retention"], place=settings.place, as_of=as_of)


def weekly(settings: Settings) -> None:
    """New logs → champion → published list; with `from=` and `to=` one revision a week, in order.

    A run that is held back, or fails, leaves every revision as it was and says so beside them.
    """
    sink.require(settings.sink)
    delivery.require(settings.deliver)
    gates.require_names(settings.weekly.accept)
    _weeks(settings)  # what is wrong with them is said before the log is taken in
    target, settings = settings.sink, _kept_local(settings)
    opening = apart.started(*map(_module, LIST))
    with held(settings.place, doing="weekly"):
        if settings.weekly.dry_run:
            with opening as worker:
                _rehearse(settings, worker)
            return
        logs = journal.kept(settings.place / "logs", keep=settings.weekly.keep_logs)
        with gauges.told(settings), logs:
            with _told(settings), opening as worker:
                unsent = _published_weeks(settings, target, worker)
            if unsent:
                raise unsent[0]


def _published_weeks(
    settings: Settings, target: SinkSettings, worker: Worker
) -> list[DeliveryError]:
    """Publish every week that was asked for; what could not be delivered.

    Where one cannot be published, those before it are delivered before that is raised.
    """
    unsent: list[DeliveryError] = []
    _step("rollup", settings)
    weeks = _weeks_or_last(settings)
    for number, as_of in enumerate(weeks):
        try:
            _publish_week(_dated(settings, as_of), as_of, worker)
        except Exception:
            if number:
                _deliver_those_out(settings, weeks, number)
            raise
        with journal.stage("deliver"), _though_published():
            names = ["scores", "retention"]
            unsent += sink.spooled(target, names, place=settings.place, as_of=as_of)
    with journal.stage("deliver"), _though_published():
        return unsent + delivery.unsent(settings.deliver, place=settings.place)


def _deliver_those_out(settings: Settings, weeks: Sequence[date], number: int) -> None:
    """Deliver the first `number` of `weeks`, the next of which failed: that is what counts, and a
    delivery that fails too is logged, and waits."""
    out, missing = (", ".join(map(str, some)) for some in (weeks[:number], weeks[number:]))
    log.warning("published: %s; not published: %s", out, missing)
    with suppress(ChurnError), journal.stage("deliver"), _though_published():
        delivery.unsent(settings.deliver, place=settings.place)


def _rehearse(settings: Settings, worker: Worker) -> None:
    """A dry run takes in the log, as every run does, and leaves no other trace."""
    _step("rollup", settings)
    for as_of in _weeks_or_last(settings):
        with rehearsal.place(settings.place) as place:
            _publish_week(
                dataclasses.replace(_dated(settings, as_of), workspace=str(place)), as_of, worker
            )


def _weeks_or_last(settings: Settings) -> list[date]:
    return _weeks(settings) or [settings.as_of_or_last(Workspace(settings.place).usage_facts())]


def _dated(settings: Settings, as_of: date) -> Settings:
    journal.now.as_of = as_of.isoformat()
    return dataclasses.replace(settings, as_of=as_of.isoformat())


def _publish_week(settings: Settings, as_of: date, worker: Worker) -> None:
    """One list, if every gate lets it pass: those on the sources first, before anything is made.

    The list is made out of sight: one that is held back was never handed out, so nobody is counted
    as listed or held out by it.
    """
    with journal.stage("gates"):
        week = gates.of_sources(settings, as_of)
    if gates.refusal(week):
        _judge(settings, week)
    *before, last = LIST
    for name in before:
        _step(name, settings, worker)
    with rehearsal.place(settings.place, made=rehearsal.HANDED_OUT) as place:
        unseen = dataclasses.replace(settings, workspace=str(place))
        _step(last, unseen, worker)
        with journal.stage("gates"):
            week = gates.of_scores(unseen, week)
        _judge(settings, week)
        with journal.stage("publish"):
            rehearsal.hand_out(place, settings.place, as_of)
    _publish(settings, as_of, gates=gates.recorded(week.verdicts))


def _judge(settings: Settings, week: Week) -> None:
    """Keep what the gates found; raises what holds the list back."""
    if not settings.weekly.dry_run:
        with journal.stage("gates"):
            gate_report.keep(settings, week)
    refused = gates.refusal(week)
    if refused:
        raise refused


def _publish(settings: Settings, as_of: date, *, gates: Mapping[str, Any]) -> None:
    with journal.stage("publish"):
        publish.publish(settings, as_of, gates=gates)
    if not settings.weekly.dry_run:
        _expire(settings)
        last_day = Workspace(settings.place).usage_facts()["last_day"]
        with _though_published():
            standing.fresh(
                settings.place / "published", as_of=as_of, last_day=date.fromisoformat(last_day)
            )


@contextmanager
def _though_published() -> Iterator[None]:
    """The list is out: what the machine fails to do from here on is a delivery that failed."""
    try:
        yield
    except OSError as error:
        raise DeliveryError(
            "the list is published, but who waits for it could not be told",
            got=str(error),
            expected="room on the disk, and rights to write",
            next_step="look at the disk; `churn deliver`, or the next run, does it again",
        ) from error


def _expire(settings: Settings) -> None:
    """What cannot be removed is no reason to hold a list back."""
    try:
        expiry.expire(settings.place, keep_weeks=settings.weekly.keep_weeks)
    except OSError as error:
        log.warning("old revisions stay: %s", error)


@contextmanager
def _told(settings: Settings) -> Iterator[None]:
    """A run that ends without a list is told beside the old one, and by mail where waiting will not
    help."""
    try:
        with standing.told(settings.place / "published"):
            yield
    except (LockedError, NotArrivedError, DeliveryError):
        raise
    except Exception:
        with suppress(OSError, ChurnError):  # what went wrong first is what counts
            delivery.alert(settings.deliver, place=settings.place)
        raise


def replay(settings: Settings) -> None:
    """Every week from `from=` to `to=` as if live, in `WORKSPACE/replay/` only.

    The model is refitted every `replay.refit_weeks` weeks on what was known then. Lists and scores
    of each week stay in the replay's folder.
    """
    weeks = _weeks(settings)
    if not weeks:
        raise ConfigurationError(
            "replay needs to know which weeks",
            got=f"from={settings.from_date} to={settings.to_date}",
            expected="both, for example from=2026-01-05 to=2026-03-30",
            next_step="give from= and to=",
        )
    with held(settings.place, doing="replay"):
        place = _replay_place(settings)
        own_store = dataclasses.replace(settings.train, tracking_uri="")
        # nothing is promoted here: figures for the card, and the second origin for what eight weeks tell
        few = dataclasses.replace(settings.backtest, origins=2, rebuild_rows=0)
        for number, as_of in enumerate(weeks):
            dated = dataclasses.replace(
                _kept_local(settings), workspace=str(place), as_of=as_of.isoformat(),
                train=own_store, backtest=few,
            )  # fmt: skip
            log.info("== week %d of %d: %s", number + 1, len(weeks), as_of)
            if number % settings.replay.refit_weeks == 0:
                _step("features", dated)
                _step("train", dated)
                bundle.point(place, "champion", bundle.load(place, "challenger").entry)
            _list(dated)
            _publish(dated, as_of, gates={})


def forget(settings: Settings) -> None:
    """Erase a customer, or a person inside an account: whose account is then counted anew.

    Waits for a run that works in the workspace. A person's events are added up in days of the
    account, so those are rolled up again from the deliveries.
    """
    from churn.io.erasure import ours
    from churn.stages import forget as stage  # loaded when it is its turn, as every stage

    stage.asked(settings)
    ours.require_workspace(settings.place)
    with held(settings.place, doing="forget", waits=True):
        _step("forget", settings)
        if settings.user and tables.exists(settings.place / "daily"):
            _step("rollup", settings)


def _kept_local(settings: Settings) -> Settings:
    """No stage of a flow sends anything: a database that fails must not keep a list back."""
    return dataclasses.replace(settings, sink=SinkSettings())


def _replay_place(settings: Settings) -> Path:
    """A fresh folder for the replay that reads the roll-up of the workspace."""
    place = settings.place / "replay"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for name in (*USAGE, *SIDES):
        tables.parts(settings.place / name, made_by="rollup")
        (place / name).symlink_to(settings.place / name)
    return place


def _list(settings: Settings) -> None:
    for name in LIST:
        _step(name, settings)


def _promote_if_better(settings: Settings) -> None:
    """In `run` a challenger that is no better is no failure: the champion stays."""
    try:
        _step("promote", settings)
    except HeldBackError as error:
        log.info("%s", error)


def _step(name: str, settings: Settings, worker: Worker | None = None) -> None:
    """Run a stage, by `worker` or in this process, which then loads what the stage needs."""
    with journal.stage(name):
        log.info("-- %s", name)
        if worker:
            worker.run(_module(name), settings)
            return
        with progress.timed(name):
            importlib.import_module(_module(name)).run(settings)


def _module(stage: str) -> str:
    return f"churn.stages.{stage}"


def _weeks(settings: Settings) -> list[date]:
    if not settings.from_date and not settings.to_date:
        return []
    if not (settings.from_date and settings.to_date):
        raise ConfigurationError(
            "from= and to= belong together",
            got=f"from={settings.from_date} to={settings.to_date}",
            expected="both, for example from=2026-01-05 to=2026-03-30",
            next_step="give both, or neither",
        )
    if settings.as_of:
        raise ConfigurationError(
            "as_of= is one week, from= and to= are several",
            got=f"from={settings.from_date} to={settings.to_date} as_of={settings.as_of}",
            expected="as_of= alone, or from= and to= without it",
            next_step="leave as_of= out, or from= and to=",
        )
    first = parse_date(settings.from_date, key="from")
    last = parse_date(settings.to_date, key="to")
    if last < first:
        raise ConfigurationError(
            "the weeks end before they begin",
            got=f"from={first} to={last}",
            expected=f"to= on or after {first}, such as {first + timedelta(days=28)}",
            next_step="swap from= and to=",
        )
    return as_of_dates(first, last)
