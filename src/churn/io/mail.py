"""The weekly digest as an e-mail: the top ten with their reasons, as text and as HTML."""

import email.policy
import re
from datetime import UTC, datetime, time
from email.message import EmailMessage
from typing import Any

from churn.errors import ConfigurationError
from churn.io import wording
from churn.io.handout import Listing, records, summary, who
from churn.io.page import REASONS, templates

N_TOP = 10
"""How many customers the digest names; the list has them all."""

BOUNDARY = "=_churn_digest"
"""Parts the mail: no text can end a part, `=_` cannot occur in a quoted-printable body."""


def digest_eml(listing: Listing, *, sender: str, recipient: str) -> bytes:
    """The digest as the bytes of an `.eml`; the same listing gives the same bytes.

    The date is `as_of` (midnight UTC), there is no Message-ID: whoever sends it adds one. Raises
    `ConfigurationError` when an address is not a plain `name@host`.
    """
    mail = EmailMessage(policy=email.policy.SMTP)
    mail["Subject"] = wording.visible(f"{listing.title}: top {min(N_TOP, len(listing.rows))}")
    mail["From"] = _address(sender, "sender")
    mail["To"] = _address(recipient, "recipient")
    mail["Date"] = datetime.combine(listing.as_of, time(), UTC)
    rows = records(listing)
    entries = [_entry(row) for row in rows[:N_TOP]]
    mail.set_content(_plain(listing, rows, entries), cte="quoted-printable")
    mail.add_alternative(_html(listing, rows, entries), subtype="html", cte="quoted-printable")
    mail.set_boundary(BOUNDARY)
    return mail.as_bytes()


_ADDRESS = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(\.[\w-]+)*", re.ASCII)
"""One plain address, as the HTML standard has it: a line break would add headers of its own."""


def _address(text: str, what: str) -> str:
    if _ADDRESS.fullmatch(text):
        return text
    raise ConfigurationError(
        f"the {what} of the digest is not an e-mail address",
        got=repr(text),
        expected="one plain address such as success@example.com",
        next_step=f"correct the {what}'s address in the configuration",
    )


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


def _plain(listing: Listing, rows: list[dict[str, Any]], entries: list[dict[str, Any]]) -> str:
    lines = [wording.visible(listing.title), summary(listing, rows), ""]
    lines += [wording.visible(note) for note in listing.notes]
    for entry in entries:
        lines += ["", f"{entry['rank']}. {entry['who']}", f"   {', '.join(entry['figures'])}"]
        lines += [f"   - {reason}" for reason in entry["reasons"]]
        lines += [f"   + {entry['protects']}"] if entry["protects"] else []
        lines += [f"   Suggested: {entry['play']}"] if entry["play"] else []
    return "\n".join([*lines, "", *_last_words(rows)]) + "\n"


def _html(listing: Listing, rows: list[dict[str, Any]], entries: list[dict[str, Any]]) -> str:
    page = templates().get_template("digest.html.j2")
    return page.render(
        title=wording.visible(listing.title),
        summary=summary(listing, rows),
        notes=[wording.visible(note) for note in listing.notes],
        entries=entries,
        last_words=_last_words(rows),
    )


def _last_words(rows: list[dict[str, Any]]) -> list[str]:
    n_more = len(rows) - N_TOP
    more = [f"{n_more:,} more on the list."] if n_more > 0 else []
    return [*more, "To record what happened, fill in the yellow columns of retention_list.xlsx."]
