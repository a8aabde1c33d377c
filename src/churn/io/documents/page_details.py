"""What the page's script knows: sort and filter keys, and the details behind each row."""

import re
import statistics
from typing import Any

from churn.io import wording
from churn.io.documents.draft import draft
from churn.io.documents.handout import Detail, Listing, who

STATUS_WORDS = {"new": "New", "still": "Still", "back": "Back"}


def owner_of(row: dict[str, Any]) -> str:
    return wording.text(row["owner"])


def families(detail: Detail) -> list[str]:
    """The families that speak for leaving, as the reason filter offers them."""
    raising = [one for one in detail.reasons if one["direction"] == "raises"]
    return sorted({wording.visible(str(one["family"])) for one in raising})


def detail_of(listing: Listing, row: dict[str, Any]) -> Detail:
    return listing.details.get(row["customer_id"]) or Detail()


def script_data(listing: Listing, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the script knows: sort and filter keys, and the details behind each row."""
    calendars: dict[tuple[str, ...], int] = {}
    entries = []
    for row in rows:
        detail = detail_of(listing, row)
        place = calendars.setdefault(tuple(detail.weeks), len(calendars))
        entries.append(_entry(listing, row) | {"calendar": place})
    return {
        "calendars": [[wording.day(week) for week in weeks] for weeks in calendars],
        "rows": entries,
    }


def _entry(listing: Listing, row: dict[str, Any]) -> dict[str, Any]:
    detail = detail_of(listing, row)
    return {
        "sort": _sort_keys(row),
        "keys": _filter_keys(listing, row),
        "stake": [wording.sign(row["currency"]), _number(row["at_stake"])],
        "lead": _lead(row),
        "usual": [_usual(detail.activity), _usual(detail.events)],
        "activity": [int(n_days) for n_days in detail.activity],
        "events": [int(n_events) for n_events in detail.events],
        "band": [float(edge) for edge in detail.band] if detail.band else None,
        "marks": _marks(detail),
        "scores": [(wording.day(day), float(risk)) for day, risk in detail.scores],
        "reasons": [_reason(reason) for reason in detail.reasons],
        "before": [_reason(reason) for reason in detail.reasons_before],
        "change": wording.visible(detail.why_changed),
        "sure": _labelled({"Risk": detail.sure, "Off the list if": detail.what_if}),
        "play": _play(row, detail),
        "mail": draft(row, detail),
        "contacts": [_contact(contact) for contact in detail.contacts],
        "facts": _facts(row),
        "contract": _contract(detail),
        "ids": _ids(row),
    }


def _marks(detail: Detail) -> list[tuple[int, str, str, str]]:
    """What happened, with the place of its week among the weeks shown; outside them left out."""
    weeks = [week for week in map(wording.as_date, detail.weeks) if week]
    found = []
    for mark in detail.marks:
        moment = wording.as_date(mark.day)
        place = sum(week <= moment for week in weeks) - 1 if moment else -1
        if moment and place >= 0:
            kind, words = wording.visible(mark.kind), wording.visible(mark.words)
            found.append((place, wording.day(moment), kind, words))
    return found


def _labelled(words: dict[str, str]) -> list[tuple[str, str]]:
    """Label and words of what is known."""
    return [(label, wording.visible(text)) for label, text in words.items() if text]


def _play(row: dict[str, Any], detail: Detail) -> list[tuple[str, str]]:
    words = {
        "Play": row["suggested_play"] or "",
        "Talking point": detail.talking_point,
        "Channel": detail.channel,
        "So far": detail.play_record,
    }
    return _labelled(words)


def _contact(contact: dict[str, str]) -> str:
    """One contact on a line, without what is not known of it; a date in it as people read it."""
    said = [str(value) for value in contact.values() if not wording.missing(value)]
    return " · ".join(_dated(value) for value in said if value != wording.DASH)


def _dated(text: str) -> str:
    return (
        wording.day(text)
        if re.fullmatch(r"\d{4}-\d\d-\d\d( 00:00:00)?", text)
        else wording.visible(text)
    )


def _number(value: Any) -> float | None:
    """A number that JSON knows, whatever numpy type it came in."""
    return None if value is None else float(value)


def _sort_keys(row: dict[str, Any]) -> dict[str, Any]:
    act_before = wording.as_date(row["act_before"])
    order = list(STATUS_WORDS)
    return {
        "rank": _number(row["rank"]),
        "who": who(row).casefold(),
        "owner": owner_of(row).casefold(),
        "status": order.index(row["status"]) if row["status"] in order else None,
        "risk": _number(row["risk"]),
        "stake": _number(row["at_stake"]),
        "act": act_before.toordinal() if act_before else None,
    }


def _filter_keys(listing: Listing, row: dict[str, Any]) -> dict[str, list[str]]:
    detail = detail_of(listing, row)
    keys = {"owner": [owner_of(row)], "status": [wording.text(row["status"])]}
    for name in listing.attributes:
        keys[f"is:{name}"] = [wording.text(detail.attributes.get(name))]
    return keys | {"family": families(detail)}


def _reason(reason: dict[str, Any]) -> dict[str, Any]:
    return {
        "raises": reason["direction"] == "raises",
        "family": wording.visible(str(reason["family"])),
        "sentence": wording.visible(str(reason["sentence"])),
        "size": round(abs(float(reason["contribution"])), 3),
        "evidence": wording.visible(str(reason.get("evidence") or "")),
    }


def _usual(values: list[int]) -> float | None:
    """The usual level: the median week before the last four, from the first week of use on.

    None where fewer than four weeks are left to say what is usual.
    """
    first = next((place for place, value in enumerate(values) if value), len(values))
    weeks = [float(value) for value in values[first:-4]]
    return statistics.median(weeks) if len(weeks) >= 4 else None


def _lead(row: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures that open the details, as label and words."""
    average = f", {wording.times(row['times_average'])} average" if row["times_average"] else ""
    lead = [(f"risk{average}", wording.percent(row["risk"]))]
    if row["risk_8w"] is not None:
        lead.append(("risk in 8 weeks", wording.percent(row["risk_8w"])))
    if row["at_stake"] is not None:
        lead.append(("a year at stake", wording.money(row["at_stake"], row["currency"])))
    return [*lead, ("act before", wording.day(row["act_before"]))]


def _contract(detail: Detail) -> list[tuple[str, str]]:
    """Contract and attributes as label and words; what both name is said once."""
    named = {name.casefold() for name in detail.contract}
    others = {
        name.capitalize(): value
        for name, value in detail.attributes.items()
        if name.casefold() not in named
    }
    return list(spoken({**detail.contract, **others}).items())


def _facts(row: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures of the row that the table has no room for, as label and words."""
    change = wording.points(row["risk_change"])
    facts = {
        "Owner": owner_of(row),
        "Change since the last list": change or wording.DASH,
        "Value a month": wording.money(row["value_month"], row["currency"]),
        "Last contact": wording.day(row["last_contact"]),
        "Confidence": wording.text(row["confidence"]),
        "Weeks on the list": wording.text(row["weeks_on_list"]),
    }
    return [(name, words) for name, words in facts.items() if words != wording.DASH]


def _ids(row: dict[str, Any]) -> list[tuple[str, str]]:
    labels = {"customer_id": "Customer ID", "list_id": "List ID", "model_version": "Model"}
    return [(label, wording.text(row[name])) for name, label in labels.items()]


def spoken(facts: dict[str, str]) -> dict[str, str]:
    """Names and values as people read them."""
    return {wording.visible(name): wording.text(value) for name, value in facts.items()}
