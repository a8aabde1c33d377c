"""An e-mail that an owner can send to a customer: no figures of ours, no words of ours."""

from typing import Any

from churn.io import wording
from churn.io.documents.handout import Detail

OPEN_QUESTION = "How are things going, and is there anything you would like to work better?"
"""What is asked where the play has no talking point."""

CALLS = {"phone": "a short call", "call": "a short call", "video call": "a short video call"}
"""Channels that are a conversation, as the customer reads them."""


def draft(row: dict[str, Any], detail: Detail) -> tuple[str, str]:
    """Subject and text of a first mail to the customer of `row`, one paragraph a line break apart.

    It holds the customer's name, the talking point of the play and the owner's name, and nothing
    else of what the list knows: neither risk, reasons, value nor the play itself, which are ours.
    """
    name = wording.visible(row["customer_name"]) if row["customer_name"] else ""
    point = wording.visible(detail.talking_point) if detail.talking_point else OPEN_QUESTION
    call = CALLS.get(detail.channel.casefold(), "a short call")
    paragraphs = [
        f"Hello {name} team," if name else "Hello,",
        "I look after your account and would like to hear how it is going for you.",
        point,
        f"If {call} suits you better than a mail, just name a time and I will make room for it.",
        f"Kind regards\n{_signature(row)}".rstrip(),
    ]
    subject = f"{name}: a quick question" if name else "A quick question"
    return subject, "\n\n".join(paragraphs)


def _signature(row: dict[str, Any]) -> str:
    return "" if row["owner"] in (None, "", "all") else wording.visible(row["owner"])
