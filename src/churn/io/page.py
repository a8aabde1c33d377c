"""The list as one web page that needs no server and loads nothing, and the page people bookmark.

The table is plain HTML, so it can be read where scripts do not run (mail previews, a phone's file
viewer); the script adds sorting, filters and the details. Texts reach the page escaped by Jinja or
as JSON that the script inserts as text nodes. A policy in the page allows exactly this style and
this script, by hash, and no network at all.
"""

import base64
import hashlib
import json
import re
import statistics
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from churn.io import wording
from churn.io.handout import Detail, Listing, expected_leavers, records, stake_total, who

TEMPLATES = Path(__file__).parent / "templates"

REASONS = ("reason_1", "reason_2", "reason_3")

STATUS_WORDS = {"new": "New", "still": "Still", "back": "Back"}

_JSON_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def page_html(listing: Listing) -> str:
    """The list as one self-contained page; the same listing gives the same text."""
    rows = records(listing)
    style, script = _asset("page.css"), _asset("list.js")
    page = templates().get_template("list.html.j2")
    return page.render(
        title=wording.visible(listing.title),
        as_of=wording.day(listing.as_of),
        facts=_spoken(listing.facts),
        notes=[wording.visible(note) for note in listing.notes],
        tiles=_tiles(rows),
        has=_columns_with_content(rows),
        filters=_filters(listing, rows),
        rows=[_row(row, _detail(listing, row)) for row in rows],
        data=_json_block(_data(listing, rows)),
        style=style,
        script=script,
        policy=_policy(style, script),
    )


def index_html(
    *, current: str | None, as_of: date | None, banner: str | None, revisions: list[str]
) -> str:
    """The page people bookmark: says whether the list is stale, links to it and to those before.

    `current` and `revisions` are `<as_of>/r<N>` below this page.
    """
    style = _asset("page.css")
    page = templates().get_template("index.html.j2")
    return page.render(
        current=quote(current) if current else None,
        as_of=wording.day(as_of),
        banner=wording.visible(banner) if banner else None,
        revisions=[_revision(name, revisions) for name in revisions if name != current],
        style=style,
        policy=_policy(style),
    )


def _revision(name: str, revisions: list[str]) -> dict[str, str]:
    """The link to a list and its words; the revision is named where a date has several."""
    found = re.fullmatch(r"(\d{4}-\d{2}-\d{2})/r(\d+)", name)
    if not found:
        return {"href": quote(name), "words": wording.visible(name)}
    is_only = sum(other.startswith(f"{found[1]}/") for other in revisions) == 1
    words = wording.day(found[1]) + ("" if is_only else f", revision {found[2]}")
    return {"href": quote(name), "words": words}


@cache
def templates() -> jinja2.Environment:
    """Our templates, escaping everything that is not ours."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _asset(name: str) -> str:
    """A style or script of ours, to stand between tags: nothing in it may end the element."""
    content = (TEMPLATES / name).read_text(encoding="utf-8").replace("\r\n", "\n")
    assert not re.search("</|<!--", content), name
    return content


def _policy(style: str, script: str | None = None) -> str:
    """A content security policy that allows our own style and script and nothing else."""
    allowed = f"'sha256-{_hash(script)}'" if script is not None else "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'sha256-{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _json_block(content: Any) -> str:
    """JSON that cannot leave its script element, whatever the texts in it."""
    block = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return block.translate(_JSON_ESCAPES)


def _spoken(facts: dict[str, str]) -> dict[str, str]:
    return {wording.visible(name): wording.text(value) for name, value in facts.items()}


def _tiles(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The three figures above the table: number and words."""
    if not rows:
        return []
    n_leave = expected_leavers(rows)
    tiles = [
        (f"{len(rows):,}", "customer to contact" if len(rows) == 1 else "customers to contact"),
        (f"{n_leave:.0f}" if n_leave >= 1 else "<1", "of them expected to leave"),
    ]
    if stake_total(rows) != wording.DASH:
        tiles.append((stake_total(rows), "a year at stake"))
    return tiles


def _columns_with_content(rows: list[dict[str, Any]]) -> dict[str, bool]:
    """Which columns have something to say: no owner column for one owner, no empty column."""
    return {
        "owner": len({row["owner"] for row in rows}) > 1,
        "stake": any(row["at_stake"] is not None for row in rows),
        "play": any(row["suggested_play"] for row in rows),
    }


def _filters(listing: Listing, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The drop-downs that have at least two things to choose from."""
    details = [_detail(listing, row) for row in rows]
    choices = {"owner": {_owner(row) for row in rows}}
    for name in listing.attributes:
        choices[f"is:{name}"] = {wording.text(one.attributes.get(name)) for one in details}
    choices["status"] = {wording.text(row["status"]) for row in rows}
    choices["family"] = {family for one in details for family in _families(one)}
    labels = {"owner": "Owner", "status": "Status", "family": "Reason"}
    return [
        {
            "key": key,
            "label": labels.get(key, wording.visible(key.removeprefix("is:")).capitalize()),
            "options": sorted(options, key=lambda option: (option.casefold(), option)),
        }
        for key, options in choices.items()
        if len(options) > 1
    ]


def _owner(row: dict[str, Any]) -> str:
    return wording.text(row["owner"])


def _families(detail: Detail) -> list[str]:
    """The families that speak for leaving, as the reason filter offers them."""
    raising = [one for one in detail.reasons if one["direction"] == "raises"]
    return sorted({wording.visible(str(one["family"])) for one in raising})


def _detail(listing: Listing, row: dict[str, Any]) -> Detail:
    return listing.details.get(row["customer_id"]) or Detail()


def _row(row: dict[str, Any], detail: Detail) -> dict[str, Any]:
    """One row of the table as texts."""
    status = wording.text(row["status"])
    return {
        "rank": wording.text(row["rank"]),
        "who": who(row),
        "tags": _tags(row, detail),
        "owner": _owner(row),
        "status": status,
        "status_words": STATUS_WORDS.get(status, status),
        "weeks": _weeks(row["weeks_on_list"]),
        "risk": wording.percent(row["risk"]),
        "risk_width": f"{100 * min(1.0, max(0.0, row['risk'] or 0.0)):.1f}",
        "times": wording.times(row["times_average"]) if row["times_average"] is not None else "",
        "later": wording.percent(row["risk_8w"]) if row["risk_8w"] is not None else "",
        "change": wording.points(row["risk_change"]),
        "stake": wording.money(row["at_stake"], row["currency"]),
        "value": wording.money(row["value_month"], row["currency"]),
        "has_value": row["value_month"] is not None,
        "reasons": [wording.visible(row[name]) for name in REASONS if row[name]],
        "protects": wording.visible(row["protects"]) if row["protects"] else "",
        "play": wording.text(row["suggested_play"]),
        "act_before": wording.day(row["act_before"]),
    }


def _tags(row: dict[str, Any], detail: Detail) -> list[str]:
    """What stands below the name: the id, unless it is the name, and the attributes."""
    ids = [row["customer_id"]] if row["customer_name"] else []
    return [wording.text(tag) for tag in [*ids, *detail.attributes.values()]]


def _weeks(n_weeks: Any) -> str:
    return f"week {int(n_weeks)}" if n_weeks is not None and n_weeks > 1 else ""


def _data(listing: Listing, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the script knows: sort and filter keys, and the details behind each row."""
    calendars: dict[tuple[str, ...], int] = {}
    entries = []
    for row in rows:
        detail = _detail(listing, row)
        place = calendars.setdefault(tuple(detail.weeks), len(calendars))
        entries.append(_entry(listing, row) | {"calendar": place})
    return {
        "calendars": [[wording.day(week) for week in weeks] for weeks in calendars],
        "rows": entries,
    }


def _entry(listing: Listing, row: dict[str, Any]) -> dict[str, Any]:
    detail = _detail(listing, row)
    return {
        "sort": _sort_keys(row),
        "keys": _filter_keys(listing, row),
        "stake": [wording.sign(row["currency"]), _number(row["at_stake"])],
        "lead": _lead(row),
        "usual": [_usual(detail.activity), _usual(detail.events)],
        "activity": [int(n_days) for n_days in detail.activity],
        "events": [int(n_events) for n_events in detail.events],
        "reasons": [_reason(reason) for reason in detail.reasons],
        "facts": _facts(row),
        "contract": _contract(detail),
        "ids": _ids(row),
    }


def _number(value: Any) -> float | None:
    """A number that JSON knows, whatever numpy type it came in."""
    return None if value is None else float(value)


def _sort_keys(row: dict[str, Any]) -> dict[str, Any]:
    act_before = wording.as_date(row["act_before"])
    order = list(STATUS_WORDS)
    return {
        "rank": _number(row["rank"]),
        "who": who(row).casefold(),
        "owner": _owner(row).casefold(),
        "status": order.index(row["status"]) if row["status"] in order else None,
        "risk": _number(row["risk"]),
        "stake": _number(row["at_stake"]),
        "act": act_before.toordinal() if act_before else None,
    }


def _filter_keys(listing: Listing, row: dict[str, Any]) -> dict[str, list[str]]:
    detail = _detail(listing, row)
    keys = {"owner": [_owner(row)], "status": [wording.text(row["status"])]}
    for name in listing.attributes:
        keys[f"is:{name}"] = [wording.text(detail.attributes.get(name))]
    return keys | {"family": _families(detail)}


def _reason(reason: dict[str, Any]) -> dict[str, Any]:
    return {
        "raises": reason["direction"] == "raises",
        "family": wording.visible(str(reason["family"])),
        "sentence": wording.visible(str(reason["sentence"])),
        "size": round(abs(float(reason["contribution"])), 3),
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
    return list(_spoken({**detail.contract, **others}).items())


def _facts(row: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures of the row that the table has no room for, as label and words."""
    change = wording.points(row["risk_change"])
    facts = {
        "Suggested play": wording.text(row["suggested_play"]),
        "Owner": _owner(row),
        "Risk in 8 weeks": wording.percent(row["risk_8w"]),
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
