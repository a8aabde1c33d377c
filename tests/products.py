"""A whole product on a small log: everything ran that a week needs, and what stands in its files."""

import email
import gzip
import html
import io
import json
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from email import policy
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from commandline import exit_code

SMALL = [
    "train.lightgbm.n_rounds=20", "train.snapshots=6", "train.n_folds=2", "train.model=lightgbm",
    "engine.threads=1", "features.lookback_days=182", "backtest.rebuild_rows=0", "churn=cancellation",
    "rollup.max_rejected_share=0.2", "deliver.host=127.0.0.1", "deliver.port=1",
    "deliver.security=none", "deliver.head=head@example.com",
]  # fmt: skip
MESSAGE = "our-secret-plan-is-to-leave-for-Gandalf"
PERSON = "person-4711@example.com"
NOTE = "wants-a-discount-for-Gandalf"


# --- what stands in a file, whatever wrote it --------------------------------------------------


def said_in(path: Path) -> Iterator[str]:
    """Everything that a file says, decoded as far as it goes; nothing of the product is asked."""
    content = path.read_bytes()
    yield content.decode("latin-1")
    yield content.decode(errors="replace")
    yield html.unescape(content.decode(errors="replace"))
    if content[:4] == b"PAR1":
        for column in pq.read_table(path).columns:
            yield "\n".join(map(str, column.unique().to_pylist()))
    if content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            yield from (html.unescape(book.read(name).decode()) for name in book.namelist())
    if content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content).decode()
    if content[:6] == b"SQLite":
        with closing(sqlite3.connect(path)) as connection:
            yield from connection.iterdump()
    if path.suffix == ".json":
        yield from mailed(json.loads(content).get("text", "") if content[:1] == b"{" else "")
    if path.suffix == ".eml":
        yield from mailed(content.decode())


def mailed(text: str) -> Iterator[str]:
    for part in email.message_from_string(text, policy=policy.default).walk() if text else ():
        if part.get_content_maintype() == "text":
            yield html.unescape(part.get_content())


def named(place: Path, *words: str) -> set[str]:
    """The files below `place` in which one of `words` stands."""
    files = [path for path in place.rglob("*") if path.is_file() and not path.is_symlink()]
    return {
        path.relative_to(place).as_posix()
        for path in files
        if any(word in text for text in said_in(path) for word in words)
    }


# --- a whole product --------------------------------------------------------------------------


def sources_of(place: Path) -> list[str]:
    """The words that name the logs beside a workspace."""
    logs = place.parent / "logs"
    return [
        "source=files", f"source.events={logs}/events/*", f"source.customers={logs}/customers.csv",
        f"source.subscriptions={logs}/subscriptions.parquet", f"source.contacts={logs}/contacts.csv",
    ]  # fmt: skip


def churn(place: Path, *words: str, expected: int = 0) -> None:
    """Run a command in this process on the logs beside the workspace."""
    found = exit_code(*words, f"workspace={place}", *sources_of(place), *SMALL)
    assert found == expected, words


def write_logs(home: Path) -> None:
    """A simulated product as files of somebody's own: CSV, compressed CSV and Parquet."""
    scratch = home / "scratch"
    world = ["source.world.n_customers=300", "source.world.n_weeks=44"]
    assert exit_code("simulate", f"workspace={scratch}", *world) == 0
    (home / "logs" / "events").mkdir(parents=True)
    for name in ("customers", "contacts"):
        pd.read_parquet(scratch / "demo" / f"{name}.parquet").to_csv(
            home / "logs" / f"{name}.csv", index=False
        )
    shutil.copy(scratch / "demo" / "subscriptions.parquet", home / "logs")
    for number, path in enumerate(sorted((scratch / "demo" / "events").glob("*"))):
        rows = pd.read_parquet(path)
        target = home / "logs" / "events" / path.stem
        if number % 2:
            shutil.copy(path, home / "logs" / "events")
        else:
            rows.to_csv(f"{target}.csv.gz", index=False)
    shutil.rmtree(scratch)


def with_words_of(home: Path, customer: str) -> None:
    """A ticket, a person, a broken line and a bad value of the customer, in a file of their own."""
    lines = [
        "customer_id,ts,event,event_id,user_id,text,value",
        f"{customer},2025-10-01 10:00:00,support_ticket,e-1,{PERSON},{MESSAGE},1",
        f"{customer},2025-10-01 10:00:00,login,e-2,{PERSON},,1",
        f'{customer},2025-10-01 10:00:00,login,e-3,"{PERSON}',
        f"{customer},2025-10-01,login,e-4,{PERSON},,many-for-Gandalf",
        *(f"{customer},2025-10-02 10:00:{n:02d},login,f-{n},{PERSON},,1" for n in range(40)),
    ]
    (home / "logs" / "events" / "words.csv").write_text(
        "\n".join(lines[:3] + lines[4:] + lines[3:4])
    )


def made(home: Path) -> tuple[Path, str, str]:
    """A workspace in which everything ran that a week needs, a customer on its list, and their name."""
    write_logs(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHURN_HOLDOUT_KEY", "a key of the tests")
        return _made(home, home / "ws")


def _made(home: Path, place: Path) -> tuple[Path, str, str]:
    churn(place, "run", "as_of=2025-10-20")
    first = pd.read_parquet(next((place / "retention").glob("2025-10-20.*.parquet"))).iloc[0]
    customer, name = first["customer_id"], first["customer_name"]
    with_words_of(home, customer)
    churn(place, "weekly", "from=2025-10-20", "to=2025-10-27", expected=6)
    week = place / "published" / "2025-10-20" / "r1"
    filled = pd.read_csv(week / "retention_list.csv", dtype=str)
    filled.loc[filled["customer_id"] == customer, ["contacted", "outcome", "note"]] = [
        "yes", "undecided", NOTE,
    ]  # fmt: skip
    filled.to_csv(home / "back.csv", index=False)
    churn(place, "outcomes", f"outcomes.files={home}/back.csv")
    churn(place, "impact")
    return place, customer, name
