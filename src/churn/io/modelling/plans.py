"""Settings → which panel is asked for, in training and in scoring."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from churn.errors import HeldBackError, InputError
from churn.features import beside, definitions, inventory, outside, panel, tastes, topics
from churn.features.labels import Definition
from churn.features.vocabulary import Vocabulary
from churn.io.bundle import Described
from churn.io.engine import Engine
from churn.settings import Settings, feature_documents
from churn.timeline import training_snapshots

log = logging.getLogger("churn")


def for_training(
    engine: Engine, settings: Settings, as_of: date, usage: Mapping[str, Any]
) -> panel.Plan:
    """The training snapshots of `as_of` and `as_of` itself, with everything learnt by then.

    Event types, roles and topics of messages are chosen from what was known at `as_of`. Raises
    `HeldBackError` when the log does not reach back far enough.
    """
    snapshots = _snapshots(engine, settings, as_of)
    vocabulary = _vocabulary(engine, settings, as_of, snapshots[0], usage)
    vocabulary = _with_topics(engine, settings, as_of, vocabulary)
    vocabulary = _with_tastes(engine, settings, as_of, vocabulary)
    return panel.Plan(
        snapshots=[*snapshots, as_of],
        labels_known_on=as_of,
        lookback_days=settings.features.lookback_days,
        definition=settings.churn,
        vocabulary=vocabulary,
        features=definitions.expand(
            feature_documents(settings), vocabulary, without=settings.features.without
        ),
        all_places=panel.places(usage["event_types"]),
        arrival=settings.arrival(as_of),
        has_customer_versions=usage["has_customer_versions"],
        has_late=usage["has_loaded_at"],
    )


def plan_of(
    champion: Described, settings: Settings, as_of: date, usage: Mapping[str, Any]
) -> panel.Plan:
    """A model's own features at `as_of`, no labels: its event types and roles, not today's."""
    facts = champion.spec["panel"]
    _refuse_lost_attributes(champion, facts["vocabulary"]["static"], usage["attributes"])
    return panel.Plan(
        snapshots=[as_of],
        labels_known_on=None,
        lookback_days=facts["lookback_days"],
        definition=Definition(**champion.spec["churn"]),
        vocabulary=Vocabulary(**facts["vocabulary"]),
        features=champion.features,
        all_places=panel.places(usage["event_types"]),
        arrival=settings.arrival(as_of),
        has_customer_versions=usage["has_customer_versions"],
        has_late=usage["has_loaded_at"],
    )


def without_features(
    settings: Settings, snapshots: Sequence[date], as_of: date, event_types: Sequence[str]
) -> panel.Plan:
    """Who could churn at `snapshots` and who did, as known at `as_of`, and nothing else of them."""
    return panel.Plan(
        snapshots=list(snapshots),
        labels_known_on=as_of,
        lookback_days=max(settings.churn.active_days, 1),
        definition=settings.churn,
        vocabulary=Vocabulary(windows=[]),
        features=[],
        all_places=panel.places(event_types),
        arrival=settings.arrival(as_of),
    )


def wanted_snapshots(settings: Settings, as_of: date) -> list[date]:
    """The snapshots that a training at `as_of` would use of a log that is long enough."""
    return training_snapshots(
        as_of,
        gap_days=settings.churn.gap_days,
        horizon_days=settings.churn.horizon_days,
        n_snapshots=settings.train.snapshots,
        step_days=settings.train.step_days,
    )


def _refuse_lost_attributes(
    champion: Described, needed: Mapping[str, str], there: Mapping[str, str]
) -> None:
    lost = [name for name in needed if name not in there]
    if lost:
        raise InputError(
            f"the customers table has lost what model {champion.version} looks at",
            got=f"no column {', '.join(lost)}",
            expected=f"the attributes {', '.join(needed)}",
            next_step="deliver the customers table whole, or train and promote a model without them",
        )


def _snapshots(engine: Engine, settings: Settings, as_of: date) -> list[date]:
    """The training snapshots that the log, as known at `as_of`, reaches back for."""
    wanted = wanted_snapshots(settings, as_of)
    history = settings.min_history_days()
    known = engine.table(inventory.first_known_day(known_on=as_of)).to_pylist()[0]["day"]
    first_day = known or as_of
    snapshots = inventory.usable_snapshots(wanted, first_day=first_day, min_history_days=history)
    if not snapshots:
        needed = settings.churn.gap_days + settings.churn.horizon_days + history
        raise HeldBackError(
            f"the log is too short to learn from at {as_of}",
            got=f"a log from {first_day} on",
            expected=f"at least {needed} days before as_of: {history} of history, then the label window",
            next_step="choose a later as_of, or a shorter churn.horizon_days or churn.active_days",
        )
    if len(snapshots) < len(wanted):
        log.info("the log reaches back for %d of %d snapshots", len(snapshots), len(wanted))
    return snapshots


def _vocabulary(
    engine: Engine, settings: Settings, as_of: date, first: date, usage: Mapping[str, Any]
) -> Vocabulary:
    """Event types, roles and what else the log has, chosen from what was known at `as_of`."""
    cut = settings.arrival(as_of).cut(as_of)
    places = panel.places(usage["event_types"])
    asked = inventory.inventory(places.values(), known_on=as_of, first=first, known_before=cut)
    found = inventory.vocabulary(
        engine.table(asked).to_pylist()[0],
        places,
        windows=settings.features.windows,
        n_event_types=settings.features.n_event_types,
        patterns=settings.features.roles,
        static=settings.static(usage["attributes"], has_versions=usage["has_customer_versions"]),
    )
    names = engine.table(outside.names(known_on=as_of, known_before=cut))["name"].to_pylist()
    return replace(found, dates=names)


def _with_topics(engine: Engine, settings: Settings, as_of: date, known: Vocabulary) -> Vocabulary:
    """What the messages speak of, learnt from those known at `as_of` (as event types are)."""
    if not settings.features.n_topics or "text" in settings.features.without:
        return known
    written = engine.table(beside.messages(known_on=as_of)).to_pandas()
    found = topics.fit(written, n_topics=settings.features.n_topics)
    if found is None:
        return known
    return replace(known, topics=topics.to_spec(found), available=[*known.available, "topics"])


def _with_tastes(engine: Engine, settings: Settings, as_of: date, known: Vocabulary) -> Vocabulary:
    """The factors of the items, learnt from those known at `as_of`."""
    asked = settings.features
    if not asked.n_tastes or "taste" in asked.without or "items" not in known.available:
        return known
    had = beside.handled_items(known_on=as_of, lookback_days=asked.lookback_days)
    found = tastes.fit(engine.table(had).to_pandas(), n_tastes=asked.n_tastes)
    return known if found is None else replace(known, tastes=tastes.to_spec(found))
