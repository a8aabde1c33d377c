"""The weekly digests as e-mails: one of the whole list, and one for each owner; text and HTML."""

import email.policy
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from email.message import EmailMessage
from typing import Any

from churn.io import wording
from churn.io.documents import past_lists
from churn.io.documents.handout import Aside, Listing, leavers, records, stake_total, summary, who
from churn.io.documents.page import REASONS, templates

N_TOP, N_OWN = 10, 15
"""How many customers the digest of the whole list, and that of an owner, names."""

BOUNDARY = "=_churn_digest"
"""Parts the mail: no text can end a part, `=_` cannot occur in a quoted-printable body."""

MAX_SUBJECT = 200
"""Characters of a subject: names in it are strangers' texts."""

HOW_TO = "To record what happened, fill in the yellow columns of retention_list.xlsx."


def digest_eml(listing: Listing) -> bytes:
    """The digest of the whole list, for the head of CS, as the bytes of an `.eml`.

    What is at stake, what became of earlier lists, each owner's share, and the top ten with their
    reasons. The same listing gives the same bytes: the date is `as_of` (midnight UTC); whoever sends
    it adds From, To and a Message-ID (`smtp`), so that no address stands in a revision.
    """
    rows = records(listing)
    subject = f"{listing.title}: top {min(N_TOP, len(rows))}"
    content = _content(listing, rows, n_named=N_TOP) | {
        "paragraphs": [past_lists.in_words(listing.track)] if listing.track else [],
        "owners": _by_owner(rows),
    }
    return _mail(listing, subject, content)


def owner_digests(listing: Listing) -> dict[str, bytes]:
    """The digest of each owner as the bytes of an `.eml`, by the owner's name in the list.

    Nobody's where there are no owners.
    """
    rows = records(listing)
    owners = sorted({str(row["owner"]) for row in rows if row["owner"] not in (None, "", "all")})
    found = {}
    for owner in owners:
        own = [row for row in rows if row["owner"] == owner]
        n_own = f"{len(own):,} customer{'s' if len(own) != 1 else ''}"
        subject = f"{listing.title}: {n_own} for {owner}"
        content = _content(listing, own, n_named=N_OWN, owner=owner)
        found[owner] = _mail(listing, subject, content)
    return found


NO_NEW_LIST = "STALE: the weekly run published nothing"


def stale_line(as_of: date | None) -> str:
    """That no new list came out, for a notice: nobody's name and no figure leaves the house."""
    data = f"the list is still that of {wording.day(as_of)}" if as_of else "there is no list yet"
    return f"{NO_NEW_LIST}; {data}."


def stale_eml(as_of: date | None, refused: Mapping[str, str]) -> bytes:
    """The mail that no new list came out, as the bytes of an `.eml`: what was found, what was expected
    and what to do (the parts of an error). It has no date: whoever sends it adds one."""
    line = stale_line(as_of)
    names = {"got": "Found", "expected": "Expected", "next_step": "To do"}
    said = [f"{words}: {wording.visible(refused[name])}" for name, words in names.items()]
    mail = EmailMessage(policy=email.policy.SMTP)
    mail["Subject"] = wording.visible(f"No new retention list: {refused['what']}")[:MAX_SUBJECT]
    body = [line, "", wording.visible(refused["what"]), *said, "", STALE_WORDS]
    mail.set_content("\n".join(body) + "\n", cte="quoted-printable")
    return mail.as_bytes()


STALE_WORDS = "Nothing that was published has changed. The page of the list carries the same words."


def _mail(listing: Listing, subject: str, content: dict[str, Any]) -> bytes:
    title = wording.visible(subject)[:MAX_SUBJECT]
    # Folded, an ASCII subject a little too long for a line would begin with a space.
    longest = 998 if title.isascii() else email.policy.SMTP.max_line_length
    mail = EmailMessage(policy=email.policy.SMTP.clone(max_line_length=longest))
    mail["Subject"] = title
    mail["Date"] = datetime.combine(listing.as_of, time(), UTC)
    html = templates().get_template("digest.html.j2").render(content)
    mail.set_content(_plain(content), cte="quoted-printable")
    mail.add_alternative(html, subtype="html", cte="quoted-printable")
    mail.set_boundary(BOUNDARY)
    return mail.as_bytes()


def _content(
    listing: Listing, rows: list[dict[str, Any]], *, n_named: int, owner: str | None = None
) -> dict[str, Any]:
    """What a mail about `rows` says; of those beside the list only the owner's."""
    n_more = len(rows) - n_named
    more = [f"{n_more:,} more on the list."] if n_more > 0 else []
    groups = {"Already leaving": listing.leaving, "Left the list since last week": listing.gone}
    return {
        "title": wording.visible(listing.title),
        "summary": summary(listing, rows),
        "notes": [wording.visible(note) for note in listing.notes],
        "paragraphs": [],
        "owners": [],
        "entries": [_entry(row) for row in rows[:n_named]],
        "asides": [
            (name, [_aside(one) for one in chosen[:N_TOP]], max(0, len(chosen) - N_TOP))
            for name, group in groups.items()
            if (chosen := [one for one in group if owner is None or one.owner == owner])
        ],
        "last_words": [*more, HOW_TO],
    }


def _aside(one: Aside) -> tuple[str, str]:
    return wording.text(one.customer_name or one.customer_id), wording.visible(one.why)


def _by_owner(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Each owner with what is theirs, in words; nothing where there is one."""
    owners = sorted({wording.text(row["owner"]) for row in rows})
    shares = []
    for owner in owners if len(owners) > 1 else []:
        own = [row for row in rows if wording.text(row["owner"]) == owner]
        stake = stake_total(own)
        at_stake = f", {stake} a year at stake" if stake != wording.DASH else ""
        shares.append((owner, f"{len(own):,} to contact, {leavers(own)}{at_stake}"))
    return shares


def _entry(row: dict[str, Any]) -> dict[str, Any]:
    stake = wording.money(row["at_stake"], row["currency"])
    figures = [
        f"risk {wording.percent(row['risk'])}"
        + (f" ({wording.times(row['times_average'])} average)" if row["times_average"] else ""),
        f"{stake} a year at stake" if row["at_stake"] is not None else "",
        f"act before {wording.day(row['act_before'])}" if row["act_before"] is not None else "",
        "" if row["owner"] in (None, "all") else wording.text(row["owner"]),
    ]
    return {
        "rank": wording.text(row["rank"]),
        "who": who(row),
        "figures": [figure for figure in figures if figure],
        "reasons": [wording.visible(row[name]) for name in REASONS if row[name]],
        "protects": wording.visible(row["protects"]) if row["protects"] else "",
        "play": wording.visible(row["suggested_play"]) if row["suggested_play"] else "",
    }


def _plain(content: dict[str, Any]) -> str:
    lines = [content["title"], content["summary"], "", *content["notes"], *content["paragraphs"]]
    lines += [f"{owner}: {share}" for owner, share in content["owners"]]
    for entry in content["entries"]:
        lines += ["", f"{entry['rank']}. {entry['who']}", f"   {', '.join(entry['figures'])}"]
        lines += [f"   - {reason}" for reason in entry["reasons"]]
        lines += [f"   + {entry['protects']}"] if entry["protects"] else []
        lines += [f"   Suggested: {entry['play']}"] if entry["play"] else []
    for name, customers, n_more in content["asides"]:
        lines += ["", name, *(f"   - {customer}: {why}" for customer, why in customers)]
        lines += [f"   and {n_more:,} more"] if n_more else []
    return "\n".join([*lines, "", *content["last_words"]]) + "\n"
