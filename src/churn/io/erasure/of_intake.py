"""What is remembered of deliveries, without a person: converted copies, refused rows, the index.

A content in which the person stands is no longer known: the next roll-up judges it again and counts
those rows as excluded. That is written down first, so that a kill in between leaves nothing that is
believed and not true.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sqlglot import parse_one

from churn.io import tables
from churn.io.engine import Resources, opened
from churn.io.erasure import by_kind, of_source, ours
from churn.io.erasure.by_kind import Account, Change
from churn.io.erasure.search import Person
from churn.io.intake import index
from churn.settings import SourceSettings

INDEX, HASHES = "index.json", "customers.npy"


@dataclass
class Deliveries:
    """Where the person stands: `contents` (sha256), and in how many rows of `own` files (by absolute
    path), which are not ours to change; None where rows cannot be told apart."""

    contents: set[str] = field(default_factory=set)
    own: dict[str, int | None] = field(default_factory=dict)


def found(place: Path, person: Person, source: SourceSettings) -> Deliveries:
    """The deliveries that name the person: as the index has them, and as the source matches them."""
    told, written = Deliveries(), {*ours.files(place)}
    cache, content = place / "deliveries", _index(place / "deliveries")
    entries = content.get("entries", {})
    for name, sha256 in content.get("paths", {}).items():
        copies = [
            one for one in cache.glob(f"{sha256[:16]}.*.parquet") if "rejects" not in one.name
        ]
        path = Path(name).absolute()
        read = copies or ([path] if name.endswith(".parquet") else [])
        n_rows = sum(of_source.in_parquet(one, person) for one in read if one.exists())
        if n_rows or not read:  # what cannot be looked at is judged again
            told.contents.add(sha256)
        has_been_cleared = not read or sha256 not in entries or entries[sha256]["excluded"]
        if not n_rows and has_been_cleared and path.is_file() and path not in written:
            told.own[str(path)] = of_source.n_rows(path, person, source)
        elif n_rows and path not in written:
            told.own[str(path)] = n_rows
    known = {str(Path(name).absolute()) for name in content.get("paths", {})}
    for name in of_source.matched(source):
        if name not in known and Path(name) not in written:
            told.own[name] = of_source.n_rows(Path(name), person, source)
    told.own = {name: n_rows for name, n_rows in told.own.items() if n_rows != 0}
    return told


def erase(place: Path, person: Person, told: Deliveries, account: Account, *, digest: str) -> None:
    """Put `deliveries/` right; `digest` says who is forgotten now (`forgotten.digest`)."""
    cache = place / "deliveries"
    if not (cache / INDEX).exists():
        return
    content = _index(cache)
    for sha256 in told.contents & {*content.get("entries", {})}:
        del content["entries"][sha256]
    content["forgotten"] = digest
    if person.kind == "customer" and (cache / HASHES).exists():
        content["customers"] = _without_hash(cache / HASHES, person)
    tables.write_sealed(cache / INDEX, content)
    for path in sorted(cache.glob("*.rejects.parquet")):
        if any(path.name.startswith(sha256[:16]) for sha256 in told.contents):
            path.unlink()
            account.note("deliveries/", documents=1)
    for path in sorted({*cache.glob("*.parquet")} & {*ours.files(place)}):
        gone = _converted(path, person)
        account.note("deliveries/", rows=gone.rows, words=gone.words)
    for path in sorted({*(cache / "remote").glob("*")} & {*ours.files(place)}):
        if path.suffix == ".parquet":
            is_named = of_source.in_parquet(path, person) > 0
        else:
            is_named = not person.is_distinctive or of_source.is_named(path, person)
        if is_named:  # the next run copies it again, and keeps it no longer than it reads
            path.unlink()
            account.note("deliveries/", documents=1)


def judged(place: Path) -> set[str]:
    """The paths whose rows need not be judged again. The refused rows of all others go with the
    person's: the next roll-up lists them anew."""
    content = _index(place / "deliveries")
    known = content.get("entries", {})
    return {path for path, sha256 in content.get("paths", {}).items() if sha256 in known}


def _converted(path: Path, person: Person) -> Change:
    """Rewrite a converted copy, and what is said of it beside it."""
    facts_at = path.with_suffix(".parquet.json")
    if not facts_at.exists():
        return by_kind.replaced(path, person)
    facts = tables.read_json(facts_at)
    gone = by_kind.replaced(path, person)
    if any(gone):
        facts |= {"sha256": tables.sha256(path), "n_skipped": facts["n_skipped"] + gone.rows}
        tables.write_sealed(facts_at, facts)
    return gone


def _without_hash(path: Path, person: Person) -> str:
    """Take the customer's hash out of those that tell which customers are new; their digest."""
    with opened(Resources()) as engine:
        engine.bind("one", pa.table({"customer_id": pa.array([person.who], pa.string())}))
        hashed = engine.table(parse_one("SELECT HASH(customer_id) AS h FROM one"))["h"].to_numpy()
    kept = np.load(path)
    return index.keep_hashes(path, kept[~np.isin(kept, hashed)])


def _index(cache: Path) -> dict[str, Any]:
    content: dict[str, Any] = tables.read_json(cache / INDEX) if (cache / INDEX).exists() else {}
    return content
