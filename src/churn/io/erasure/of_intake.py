"""What is remembered of deliveries, without a person: converted copies, refused rows, the index.

A content in which the person stands is no longer known: the next roll-up judges it again and counts
those rows as excluded. That is written down first, so that a kill in between leaves nothing that is
believed and not true.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq
from sqlglot import parse_one

from churn.io import tables
from churn.io.engine import Resources, opened
from churn.io.erasure import by_kind, search
from churn.io.erasure.by_kind import Account
from churn.io.erasure.search import Person
from churn.io.intake import forgotten, index, listing
from churn.settings import SourceSettings

INDEX, HASHES = "index.json", "customers.npy"


@dataclass
class Deliveries:
    """Where the person stands: `contents` (sha256), and in how many rows of `own` files (by path),
    which are not ours to change."""

    contents: set[str] = field(default_factory=set)
    own: Counter[str] = field(default_factory=Counter)


def found(place: Path, person: Person, source: SourceSettings) -> Deliveries:
    """The deliveries that name the person, as the index has them."""
    told = Deliveries()
    cache = place / "deliveries"
    paths = _index(cache).get("paths", {})
    for path, sha256 in paths.items():
        copies = [
            one for one in cache.glob(f"{sha256[:16]}.*.parquet") if "rejects" not in one.name
        ]
        is_ours = place in Path(path).absolute().parents
        read = copies or ([Path(path)] if path.endswith(".parquet") else [])
        n_rows = sum(_n_rows(one, person) for one in read if one.exists())
        if n_rows or not read:  # what cannot be looked at is judged again
            told.contents.add(sha256)
        if n_rows and not is_ours:
            told.own[path] += n_rows
    for name, pattern in _side_patterns(source, place).items():
        for path in listing.local(pattern) if "://" not in pattern else {}:
            if place not in Path(path).absolute().parents and _is_named(Path(path), person):
                told.own[f"{path} (source.{name})"] += 1
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
    for path in sorted(cache.glob("*.parquet")):
        account.note("deliveries/", rows=_converted(path, person))
    for path in sorted((cache / "remote").glob("*")):
        if path.suffix == ".parquet":
            is_named = _n_rows(path, person) > 0
        else:
            is_named = not person.is_distinctive or _is_named(path, person)
        if is_named:  # the next run copies it again, and keeps it no longer than it reads
            path.unlink()
            account.note("deliveries/", documents=1)


def judged(place: Path) -> set[str]:
    """The paths whose rows need not be judged again. The refused rows of all others go with the
    person's: the next roll-up lists them anew."""
    content = _index(place / "deliveries")
    known = content.get("entries", {})
    return {path for path, sha256 in content.get("paths", {}).items() if sha256 in known}


def _converted(path: Path, person: Person) -> int:
    """Rewrite a converted copy, and what is said of it beside it; rows that went."""
    facts_at = path.with_suffix(".parquet.json")
    if not facts_at.exists():
        return by_kind.replaced(path, person)
    facts = tables.read_json(facts_at)
    n_rows = by_kind.replaced(path, person)
    if n_rows:
        facts |= {"sha256": tables.sha256(path), "n_skipped": facts["n_skipped"] + n_rows}
        tables.write_sealed(facts_at, facts)
    return n_rows


def _without_hash(path: Path, person: Person) -> str:
    """Take the customer's hash out of those that tell which customers are new; their digest."""
    with opened(Resources()) as engine:
        engine.bind("one", pa.table({"customer_id": pa.array([person.who], pa.string())}))
        hashed = engine.table(parse_one("SELECT HASH(customer_id) AS h FROM one"))["h"].to_numpy()
    kept = np.load(path)
    return index.keep_hashes(path, kept[~np.isin(kept, hashed)])


def _n_rows(path: Path, person: Person) -> int:
    """In how many rows of a Parquet file the person stands."""
    file = pq.ParquetFile(path)
    n_rows = 0
    for name in person.columns & {*file.schema_arrow.names}:
        for batch in file.iter_batches(columns=[name], batch_size=1 << 20):
            column = forgotten.as_text(pa.chunked_array([batch.column(0)]))
            n_rows += compute.sum(compute.equal(column, person.who)).as_py() or 0
    return n_rows


def _is_named(path: Path, person: Person) -> bool:
    try:
        return bool(search.stands_in(path, person, place=path.parent))
    except (OSError, ValueError, pa.ArrowInvalid):
        return True


def _side_patterns(source: SourceSettings, place: Path) -> dict[str, str]:
    sides: Mapping[str, Any] = {
        name: getattr(source, name) for name in ("customers", "subscriptions", "contacts")
    }
    return {name: text for name, text in sides.items() if text} if source.name == "files" else {}


def _index(cache: Path) -> dict[str, Any]:
    content: dict[str, Any] = tables.read_json(cache / INDEX) if (cache / INDEX).exists() else {}
    return content
