"""`churn retain`: the retention list of `as_of`, as table, CSV, workbook and page."""

import logging
from datetime import date

import pandas as pd

from churn.errors import nearest
from churn.features.labels import Definition
from churn.features.vocabulary import Vocabulary
from churn.io import bundle, records, revisions, tables, wording
from churn.io.bundle import Described
from churn.io.documents import beside_list, details, moves, people, roster, track
from churn.io.documents.handout import Aside, Listing
from churn.io.documents.roster import Roster
from churn.io.engine import opened, resources
from churn.io.sending import sink
from churn.io.workspace import Workspace
from churn.retention import changes, listing, ranking
from churn.settings import Settings, spoken

log = logging.getLogger("churn")

RULE_BASED = "Rule-based: no model has beaten it yet"

ORDERS = {
    "risk": "The order is by the risk of leaving, whatever a customer is worth.",
    "value": "The order is by value, whatever the risk of leaving.",
    "risk_value": "The order is by what is at stake in the next eight weeks: some customers stand here "
    "although their risk of leaving sooner is below average.",
    "risk_value_effect": "The order is by what a contact is expected to save, not by who is most "
    "likely to leave.",
}
"""What a reader is told of the order, by `retain.policy`."""


def run(settings: Settings) -> None:
    """Write part `as_of` of `retention/`, who qualified, and the files that people open beside it."""
    sink.require(settings.sink)
    as_of = settings.as_of_or_last(Workspace(settings.place).usage_facts())
    workspace = Workspace(settings.place, settings.arrival(as_of))
    champion = bundle.described(settings.place)
    found = roster.ranked(settings, as_of)
    _tell_unknown_owners(settings, found)
    reasons = tables.read(workspace.folder("reasons"), made_by="explain", part=as_of.isoformat())
    rows = _rows(workspace, found, reasons, settings, as_of)
    tables.write(workspace.folder("retention"), {as_of.isoformat(): rows}, keep=True)
    roster.keep(settings, found, as_of)
    about = details.About(
        workspace,
        as_of,
        found,
        reasons,
        plays=settings.retain.plays,
        play_records=track.plays(settings, as_of),
    )
    made = _listing(about, rows, settings, champion)
    folder = workspace.folder("retention") / as_of.isoformat()
    people.write(made, folder)
    page = (folder / "retention_list.html").relative_to(workspace.place)
    log.info("%d customers to contact, in %s of the workspace", len(rows), page)
    sink.send(settings.sink, ["retention"], place=settings.place, as_of=as_of)


def _tell_unknown_owners(settings: Settings, found: Roster) -> None:
    """A room for nobody changes nothing, and may be meant for somebody: owners come and go, so the
    list goes out all the same."""
    owners = sorted(set(found.rows["owner"].dropna()))
    for owner in settings.retain.capacities:
        if owner not in owners:
            known = nearest(owner, owners) if owners else "nobody has an owner"
            log.warning("retain.capacities: nobody belongs to owner %s; %s", owner, known)


def _rows(
    workspace: Workspace, found: Roster, reasons: pd.DataFrame, settings: Settings, as_of: date
) -> pd.DataFrame:
    listed, before = ranking.listed(found.rows), found.previous
    scored = [name for name in tables.names(workspace.folder("scores")) if name < as_of.isoformat()]
    past = (
        tables.read(workspace.folder("scores"), made_by="score", part=scored[-1])
        if scored
        else None
    )
    return listing.rows(
        listed,
        reasons,
        as_of=as_of,
        episodes=listing.episodes(
            listed["customer_id"].tolist(),
            before.rows if before else None,
            weeks_since=max(1, (as_of - before.as_of).days // 7) if before else 0,
            ever=revisions.ever_listed(settings, as_of),
        ),
        previous_risk={}
        if past is None
        else dict(zip(past["customer_id"], past["risk"], strict=True)),
        last_contact=records.last_contacts(records.contacts(workspace, as_of)),
        plays={family: one.play for family, one in settings.retain.plays.items()},
        nothing=spoken(settings).nothing,
    )


def _listing(
    about: details.About, rows: pd.DataFrame, settings: Settings, champion: Described
) -> Listing:
    workspace, found, as_of = about.workspace, about.roster, about.as_of
    with opened(resources(settings.engine), workspace.usage()) as engine:
        moved = moves.why_moved(settings, workspace, found, engine, as_of)
        known = details.details(
            about, engine, rows["customer_id"].tolist(), use=_use(champion), moved=moved
        )
    there = details.attributes(workspace, as_of)
    return Listing(
        title=_title(champion, as_of),
        as_of=as_of,
        facts=_header(found, champion, Definition(**champion.spec["churn"])),
        notes=[*_notes(found, settings.retain.policy), *_notes_of_reasons(workspace, as_of)],
        rows=rows,
        attributes=[name for name in details.ATTRIBUTES if name in there],
        details=known,
        leaving=_aside(found, ranking.LEAVING),
        unjudged=_aside(found, ranking.UNJUDGED),
        gone=_gone(found),
        track=track.lists(settings, as_of),
    )


def _aside(found: Roster, state: str) -> list[Aside]:
    """Those who would matter as much as somebody on the list and cannot be listed, the first first."""
    rows = found.rows
    least = rows.loc[rows["is_listed"], "order"].min()
    mine = rows[(rows["state"] == state) & (rows["order"] >= least)]
    return beside_list.asides(mine.sort_values(["order", "customer_id"], ascending=[False, True]))


def _gone(found: Roster) -> list[Aside]:
    if found.previous is None:
        return []
    listed = found.rows.loc[found.rows["is_listed"], "customer_id"]
    return beside_list.asides(changes.gone(found.previous.rows, found.rows, set(listed)))


def _header(found: Roster, champion: Described, definition: Definition) -> dict[str, str]:
    return {
        "Customers scored": f"{len(found.rows):,}",
        "Churn means": f"a customer {definition.in_words()}",
        "Usual risk": wording.percent(found.rows["risk"].mean()),
        "Model": f"rule {champion.spec['rule']}" if "rule" in champion.spec else champion.version,
    }


def _title(champion: Described, as_of: date) -> str:
    """A list that no model stands behind says so in its first words."""
    if "rule" in champion.spec:
        return f"{RULE_BASED} ({wording.day(as_of)})"
    return f"Retention list, {wording.day(as_of)}"


def _notes(found: Roster, policy: str) -> list[str]:
    rows = found.rows
    notes = []
    if not ranking.value_is_known(rows) and policy != "risk":
        notes.append("Value unknown: the order is by risk.")
    elif policy != "risk_value" or (rows.loc[rows["is_listed"], "times_average"] < 1).any():
        notes.append(ORDERS[policy])
    if not found.is_random:
        notes.append(
            f"Nobody is held out (no {roster.KEY_VARIABLE}), so what this list saves cannot be proved."
        )
    capped = rows["is_listed"] & rows["value_counted"].lt(rows["value_month"])
    if capped.any():
        most = wording.money(rows["value_counted"].max(), rows.loc[capped, "currency"].iloc[0])
        notes.append(
            f"A value beyond {most} a month counts as that much; the list shows what was logged."
        )
    return notes


def _notes_of_reasons(workspace: Workspace, as_of: date) -> list[str]:
    """What a reader must know of the reasons: no evidence, or families that are not shown."""
    notes = tables.facts(workspace.folder("reasons"), made_by="explain").get("notes", {})
    return list(notes.get(as_of.isoformat(), []))


def _use(champion: Described) -> str:
    return Vocabulary(**champion.spec["panel"]["vocabulary"]).use
