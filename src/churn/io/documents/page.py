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
from collections.abc import Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from churn.io import wording
from churn.io.documents import past_lists
from churn.io.documents.handout import (
    Aside,
    Detail,
    Listing,
    expected_leavers,
    records,
    stake_total,
    who,
)
from churn.io.documents.page_details import (
    STATUS_WORDS,
    detail_of,
    families,
    owner_of,
    script_data,
    spoken,
)

TEMPLATES = Path(__file__).parent / "templates"

REASONS = ("reason_1", "reason_2", "reason_3")

_JSON_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def page_html(listing: Listing) -> str:
    """The list as one self-contained page; the same listing gives the same text."""
    rows = records(listing)
    style, script = _asset("page.css"), _asset("details.js") + _asset("list.js")
    page = templates().get_template("list.html.j2")
    return page.render(
        title=wording.visible(listing.title),
        as_of=wording.day(listing.as_of),
        facts=spoken(listing.facts),
        notes=[wording.visible(note) for note in listing.notes],
        tiles=_tiles(rows),
        has=_columns_with_content(rows),
        filters=_filters(listing, rows),
        rows=[_row(row, detail_of(listing, row)) for row in rows],
        asides=_asides(listing),
        track=past_lists.section(listing.track),
        data=_json_block(script_data(listing, rows)),
        style=style,
        script=script,
        policy=_policy(style, script),
    )


def index_html(
    *,
    current: str | None,
    as_of: date | None,
    banner: str | None,
    revisions: list[str],
    why: Sequence[str] = (),
) -> str:
    """The page people bookmark: says whether the list is stale and `why`, links to it and to those
    before.

    `current` and `revisions` are `<as_of>/r<N>` below this page.
    """
    style = _asset("page.css")
    page = templates().get_template("index.html.j2")
    return page.render(
        current=quote(current) if current else None,
        as_of=wording.day(as_of),
        banner=wording.visible(banner) if banner else None,
        why=[wording.visible(line) for line in why],
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


N_OPEN = 12
"""A section beside the list with more customers than this waits to be opened."""


def _asides(listing: Listing) -> list[dict[str, Any]]:
    """The sections beside the list that have somebody in them."""
    sections = (
        ("Already leaving", "They said that they go, or their end is set.", listing.leaving),
        (
            "Cannot judge yet",
            "Too little is known of them to say how likely they leave.",
            listing.unjudged,
        ),
        ("Left the list since last week", "On the list before, not now.", listing.gone),
    )
    return [
        {
            "title": title,
            "hint": hint,
            "count": f"{len(customers):,}",
            "is_open": len(customers) <= N_OPEN,
            "has_owner": len({one.owner for one in customers}) > 1,
            "customers": [_aside(one) for one in customers],
        }
        for title, hint, customers in sections
        if customers
    ]


def _aside(one: Aside) -> dict[str, str]:
    return {
        "who": wording.text(one.customer_name or one.customer_id),
        "id": wording.visible(one.customer_id) if one.customer_name else "",
        "owner": wording.text(one.owner),
        "why": wording.visible(one.why),
    }


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
    details = [detail_of(listing, row) for row in rows]
    choices = {"owner": {owner_of(row) for row in rows}}
    for name in listing.attributes:
        choices[f"is:{name}"] = {wording.text(one.attributes.get(name)) for one in details}
    choices["status"] = {wording.text(row["status"]) for row in rows}
    choices["family"] = {family for one in details for family in families(one)}
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


def _row(row: dict[str, Any], detail: Detail) -> dict[str, Any]:
    """One row of the table as texts."""
    status = wording.text(row["status"])
    return {
        "rank": wording.text(row["rank"]),
        "who": who(row),
        "tags": _tags(row, detail),
        "owner": owner_of(row),
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
