"""Does a model look at what it cannot know? Score some customers, inject the future, score again."""

from collections.abc import Mapping
from datetime import date

import numpy as np
import pyarrow as pa

from churn.features import injection, inventory, ranges
from churn.io import tables
from churn.io.bundle import Bundle
from churn.io.engine import near, opened, resources
from churn.io.modelling import panels, plans
from churn.io.workspace import SIDES, USAGE, Workspace, weigh
from churn.learning import models
from churn.settings import Settings

N_CUSTOMERS = 300
RECENT_DAYS = 56


def unchanged(settings: Settings, candidate: Bundle) -> bool | None:
    """Whether events after the snapshot, or arriving after it, leave every score as it was.

    A few hundred customers at the date that the model was trained for; None where there is no
    roll-up or nobody to score. On Spark the rows come here: they are few.
    """
    workspace = Workspace(settings.place)
    if not tables.exists(workspace.folder("daily")):
        return None
    as_of = date.fromisoformat(str(candidate.spec["as_of"]))
    found = _sampled(workspace, settings, as_of)
    before = _scores(settings, candidate, found, as_of)
    if not before:
        return None
    can_be_late = bool(workspace.usage_facts()["has_loaded_at"])
    disturbed = _disturbed(found, as_of, can_be_late=can_be_late)
    return before == _scores(settings, candidate, disturbed, as_of)


def _sampled(workspace: Workspace, settings: Settings, as_of: date) -> dict[str, pa.Table]:
    """The tables of the roll-up for an even sample of the customers seen lately."""
    with opened(resources(settings.engine), workspace.usage()) as engine:
        seen = engine.table(inventory.seen_lately(as_of, n_days=RECENT_DAYS))[
            "customer_id"
        ].to_pylist()
        places = np.linspace(0, len(seen) - 1, min(N_CUSTOMERS, len(seen))).astype(int)
        names = pa.array([seen[k] for k in np.unique(places)], pa.string())
        engine.bind("probed", pa.table({"customer_id": names}))
        wanted = [*USAGE, *SIDES]
        wanted.remove("dates")  # of the world, not of a customer
        found = {name: engine.table(ranges.only_probed(name)) for name in wanted}
        return {**found, "dates": engine.table(ranges.every_row("dates"))}


def _disturbed(
    found: Mapping[str, pa.Table], as_of: date, *, can_be_late: bool
) -> dict[str, pa.Table]:
    """The same tables with the future and late arrivals in them."""
    frames = {name: found[name].to_pandas() for name in (*USAGE, "dates")}
    daily, late = injection.usage(
        frames["daily"], frames["late"], snapshot=as_of, can_be_late=can_be_late
    )
    changed = {
        "daily": daily,
        "late": late,
        "texts": injection.mentions(frames["texts"], of="text", snapshot=as_of),
        "items": injection.mentions(frames["items"], of="item", snapshot=as_of),
        "first_days": injection.first_days(frames["first_days"], daily, snapshot=as_of),
        "dates": injection.dates(frames["dates"], snapshot=as_of),
    }
    return dict(found) | {
        name: pa.Table.from_pandas(rows, schema=found[name].schema, preserve_index=False)
        for name, rows in changed.items()
    }


def _scores(
    settings: Settings, candidate: Bundle, found: Mapping[str, pa.Table], as_of: date
) -> bytes:
    """Customers and risks as bytes; none where nobody could be scored."""
    usage = Workspace(settings.place).usage_facts()
    with opened(near(resources(settings.engine)), found) as engine:
        plan = plans.plan_of(candidate, settings, as_of, usage)
        weigh(engine, plan.vocabulary)
        rows = panels.rows(engine, plan).to_pandas()
    names = "\n".join(rows["customer_id"]).encode()
    return names + models.predict(candidate.model, rows).tobytes() if len(rows) else b""
