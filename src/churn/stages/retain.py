"""`churn retain`: the retention list of `as_of`, as table, CSV, workbook and page."""

import logging
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from churn.features.definitions import Vocabulary
from churn.features.labels import Definition
from churn.io import bundle, export, mail, page, sink, tables, wording
from churn.io.bundle import Described
from churn.io.engine import opened, resources
from churn.io.handout import Detail, Listing
from churn.io.workspace import Workspace
from churn.retention import listing, ranking
from churn.settings import Settings, spoken
from churn.usage import history

log = logging.getLogger("churn")

RULE_BASED = "Rule-based: no model has beaten it yet"

ATTRIBUTES = ("segment", "plan")
"""What the page can be filtered by, where the log has it."""


def run(settings: Settings) -> None:
    """Write part `as_of` of `retention/`, and the files that people open beside it."""
    sink.require(settings.sink)
    as_of = settings.as_of_or_last(Workspace(settings.place).usage_facts())
    workspace = Workspace(settings.place, settings.arrival(as_of))
    champion = bundle.described(settings.place)
    definition = Definition(**champion.spec["churn"])
    ranked = workspace.ranked(as_of, policy=settings.retain)
    rows, reasons = _rows(workspace, ranked, settings, definition, as_of)
    tables.write(workspace.folder("retention"), {as_of.isoformat(): rows}, keep=True)
    made = Listing(
        title=_title(champion, as_of),
        as_of=as_of,
        facts=_header(ranked, champion, definition),
        notes=[*_notes(ranked), *_notes_of_reasons(workspace, as_of)],
        rows=rows,
        attributes=[name for name in ATTRIBUTES if name in _attributes(workspace, as_of)],
        details=_details(workspace, rows, reasons, settings, as_of, use=_use(champion)),
    )
    folder = workspace.folder("retention") / as_of.isoformat()
    tables.write_bytes(folder / "retention_list.csv", export.csv_bytes(rows))
    tables.write_bytes(folder / "retention_list.xlsx", export.workbook_bytes(made))
    tables.write_bytes(folder / "retention_list.html", page.page_html(made).encode())
    digest = mail.digest_eml(made, sender="churn@localhost", recipient="customer-success@localhost")
    tables.write_bytes(folder / "digest.eml", digest)
    log.info("%d customers to contact, in %s", len(rows), folder / "retention_list.html")
    sink.send(settings.sink, ["retention"], place=settings.place, as_of=as_of)


def _rows(
    workspace: Workspace,
    ranked: pd.DataFrame,
    settings: Settings,
    definition: Definition,
    as_of: date,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    part = as_of.isoformat()
    reasons = tables.read(workspace.folder("reasons"), made_by="explain", part=part)
    before = [name for name in _parts(workspace, "retention") if name < part]
    scored = [name for name in _parts(workspace, "scores") if name < part]
    past = (
        tables.read(workspace.folder("scores"), made_by="score", part=scored[-1])
        if scored
        else None
    )
    rows = listing.rows(
        ranking.listed(ranked),
        reasons,
        as_of=as_of,
        earlier=[
            tables.read(workspace.folder("retention"), made_by="retain", part=name)
            for name in before
        ],
        previous_risk={}
        if past is None
        else dict(zip(past["customer_id"], past["risk"], strict=True)),
        last_contact=workspace.last_contacts(as_of),
        plays={family: one.play for family, one in settings.retain.plays.items()},
        nothing=spoken(settings).nothing,
    )
    return rows, reasons


def _parts(workspace: Workspace, name: str) -> list[str]:
    folder = workspace.folder(name)
    return list(tables.parts(folder, made_by=name)) if tables.exists(folder) else []


def _header(ranked: pd.DataFrame, champion: Described, definition: Definition) -> dict[str, str]:
    return {
        "Customers scored": f"{len(ranked):,}",
        "Churn means": f"a customer {definition.in_words()}",
        "Usual risk": wording.percent(ranked["risk"].mean()),
        "Model": f"rule {champion.spec['rule']}" if "rule" in champion.spec else champion.version,
    }


def _title(champion: Described, as_of: date) -> str:
    """A list that no model stands behind says so in its first words."""
    if "rule" in champion.spec:
        return f"{RULE_BASED} ({wording.day(as_of)})"
    return f"Retention list, {wording.day(as_of)}"


def _notes(ranked: pd.DataFrame) -> list[str]:
    if not ranking.value_is_known(ranked):
        return ["Value unknown: the order is by risk."]
    if (ranked.loc[ranked["is_listed"], "times_average"] < 1).any():
        return [
            "The order is by what is at stake in the next eight weeks: some customers stand here "
            "although their risk of leaving sooner is below average."
        ]
    return []


def _notes_of_reasons(workspace: Workspace, as_of: date) -> list[str]:
    """What `churn explain` had to say of its reasons: unchecked, or a family that is muted."""
    told = tables.facts(workspace.folder("reasons"), made_by="explain").get("notes", {})
    return list(told.get(as_of.isoformat(), []))


def _attributes(workspace: Workspace, as_of: date) -> dict[str, pd.Series]:
    """What a customer can be filtered by: segment, and the plan of the subscription."""
    people, terms = workspace.people(as_of), workspace.contract_terms(as_of)
    found = {"segment": people["segment"].dropna(), "plan": terms["plan"].dropna()}
    return {name: values for name, values in found.items() if len(values)}


def _use(champion: Described) -> str:
    return Vocabulary(**champion.spec["panel"]["vocabulary"]).use


def _details(
    workspace: Workspace,
    rows: pd.DataFrame,
    reasons: pd.DataFrame,
    settings: Settings,
    as_of: date,
    *,
    use: str,
) -> dict[str, Detail]:
    customers = rows["customer_id"].tolist()
    with opened(resources(settings.engine), workspace.usage()) as engine:
        engine.bind("listed", pa.table({"customer_id": pa.array(customers, pa.string())}))
        events = history.matrix(engine.table(history.days(as_of, use=use)).to_pandas(), customers)
    activity, volume = history.by_week(np.minimum(events, 1)), history.by_week(events)
    attributes, terms = _attributes(workspace, as_of), workspace.contract_terms(as_of)
    spoken_by = dict(list(reasons.groupby("customer_id")))
    return {
        customer: Detail(
            weeks=history.week_starts(as_of),
            activity=activity[place].tolist(),
            events=volume[place].tolist(),
            reasons=_reasons(spoken_by.get(customer)),
            contract=_contract(terms, customer, as_of),
            attributes={
                name: str(values[customer])
                for name, values in attributes.items()
                if customer in values
            },
        )
        for place, customer in enumerate(customers)
    }


def _reasons(spoken_rows: pd.DataFrame | None) -> list[dict[str, Any]]:
    if spoken_rows is None:
        return []
    kept = spoken_rows.sort_values("rank")[
        ["family", "direction", "sentence", "contribution", "evidence"]
    ]
    return [
        {str(name): "" if wording.missing(value) else value for name, value in row.items()}
        for row in kept.to_dict("records")
    ]


def _contract(terms: pd.DataFrame, customer: str, as_of: date) -> dict[str, str]:
    """The contract in words; what is missing is left out."""
    if customer not in terms.index:
        return {}
    term = terms.loc[customer]
    facts = {
        "Plan": wording.text(term["plan"]),
        "Seats": "–" if pd.isna(term["seats"]) else f"{term['seats']:,.0f}",
        "Price a month": wording.money(term["price_month"], term["currency"]),
        "Customer since": wording.day(term["start_date"]),
        "Current term ends": wording.day(term["term_end"]),
    }
    return {name: value for name, value in facts.items() if value not in ("–", "")}
