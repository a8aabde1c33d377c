"""Who must not come back: a keyed hash of everybody who was forgotten, and what it says of new rows.

`WORKSPACE/forgotten.json` holds HMAC-SHA256 of each id and nothing else of anybody. The key stands in
the environment (`CHURN_FORGET_KEY`, or `…_FILE`) or, where there is none, in `WORKSPACE/.forget.key`,
which only its owner can read. Ids are hashed once each, never row by row.
"""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from churn.errors import ConfigurationError
from churn.io import secret, tables

FILE, KEY_FILE, KEY_VARIABLE = "forgotten.json", ".forget.key", "CHURN_FORGET_KEY"

KINDS = ("customer", "user")
"""Whom somebody can ask to forget: a customer, or a person inside an account."""

_TOKEN = re.compile(r"""[^\s,;|"'{}\[\]]+""")
"""What stands between the delimiters of a line that could not be read."""


@dataclass(frozen=True)
class Forgotten:
    """Everybody who was forgotten, by `kind`, as keyed hashes; `unfinished` are erasures that were
    begun and have not ended."""

    key: bytes = b""
    hashes: frozenset[tuple[str, str]] = frozenset()
    unfinished: frozenset[tuple[str, str]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.hashes)

    @property
    def digest(self) -> str:
        """Another one when somebody else is forgotten; empty while nobody is."""
        text = "\n".join(f"{kind} {mac}" for kind, mac in sorted(self.hashes))
        return hashlib.sha256(text.encode()).hexdigest() if text else ""

    def among(self, kind: str, ids: Iterable[str | None]) -> list[str]:
        """Those of `ids` who were forgotten, each once, ascending."""
        wanted = {mac for name, mac in self.hashes if name == kind}
        if not wanted:
            return []
        return sorted({one for one in ids if one is not None and _mac(self.key, one) in wanted})

    def is_told_in(self, text: str) -> bool:
        """Whether a line that could not be read names somebody who was forgotten."""
        found = set(_TOKEN.findall(text))
        return bool(self.among("customer", found) or self.among("user", found))


def read(place: Path) -> Forgotten:
    """Who was forgotten in workspace `place`; nobody where no one ever was.

    Raises `ConfigurationError` where the key is gone or another one: then nobody could tell who must
    stay out.
    """
    path = place / FILE
    if not path.exists():
        return Forgotten()
    content = tables.read_json(path)
    key = _key(place)
    if key is None or not hmac.compare_digest(_check(key), content["check"]):
        raise ConfigurationError(
            f"who was forgotten in {place} cannot be told",
            got="no key" if key is None else "another key than the one that was used",
            expected=f"the key that stood in {KEY_VARIABLE}, or in {place / KEY_FILE}",
            next_step=f"export {KEY_VARIABLE} (or {KEY_VARIABLE}{secret.FILE}) as it was",
        )
    entries = {(entry["kind"], entry["hash"]): entry["is_erased"] for entry in content["entries"]}
    left = frozenset(one for one, is_erased in entries.items() if not is_erased)
    return Forgotten(key, frozenset(entries), left)


def remember(place: Path, kind: str, who: str, *, is_erased: bool) -> Forgotten:
    """Keep `who` out of workspace `place` from now on; `is_erased` says that nothing is left."""
    before = read(place)
    key = before.key or _key(place) or _new_key(place)
    mac = _mac(key, who)
    unfinished = (
        before.unfinished - {(kind, mac)} if is_erased else before.unfinished | {(kind, mac)}
    )
    found = Forgotten(key, before.hashes | {(kind, mac)}, unfinished)
    entries = [
        {"kind": name, "hash": one, "is_erased": (name, one) not in unfinished}
        for name, one in sorted(found.hashes)
    ]
    tables.write_sealed(place / FILE, {"check": _check(key), "entries": entries})
    return found


def without(
    path: Path, target: Path, *, gone: Forgotten, columns: Mapping[str, Iterable[str]]
) -> int:
    """Write the rows of Parquet file `path` that are about nobody forgotten to `target`; how many
    are not. `columns` names those with ids by kind. Nothing is written where there are none."""
    schema = pq.read_schema(path)
    lost: dict[str, list[str]] = {}
    for kind, names in columns.items():
        for name in names:
            if gone and name in schema.names:
                ids = compute.unique(as_text(pq.read_table(path, columns=[name])[name]))
                if found := gone.among(kind, ids.to_pylist()):
                    lost[name] = found
    return rewritten(path, target, lost=lost) if lost else 0


def rewritten(path: Path, target: Path, *, lost: dict[str, list[str]]) -> int:
    """Write Parquet file `path` to `target` without the rows in which a column of `lost` has one of
    its values; how many these are. Group by group, as large and as compressed as they were."""
    file = pq.ParquetFile(path)
    if file.metadata.num_row_groups == 0:
        return 0
    groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
    largest = max(group.num_rows for group in groups)
    codec = groups[0].column(0).compression.lower()
    schema, n_gone = file.schema_arrow, 0
    stated = [field.name for field in schema if not pa.types.is_floating(field.type)]
    options: dict[str, Any] = {"compression": "none" if codec == "uncompressed" else codec}
    # As `sql_source` has it: statistics of numbers leave NaN out, and DuckDB believes them.
    with pq.ParquetWriter(target, schema, write_statistics=stated, **options) as writer:
        for number in range(file.metadata.num_row_groups):
            rows = file.read_row_group(number)
            kept = rows.filter(compute.invert(_is_about(rows, lost)))
            n_gone += rows.num_rows - kept.num_rows
            if kept.num_rows:
                writer.write_table(kept, row_group_size=max(1, largest))
    return n_gone


def _is_about(rows: pa.Table, lost: dict[str, list[str]]) -> pa.ChunkedArray:
    """Whether each row has one of the values."""
    masks = [
        compute.is_in(as_text(rows[name]), value_set=pa.array(values, pa.string()))
        for name, values in lost.items()
    ]
    found = masks[0]
    for mask in masks[1:]:
        found = compute.or_(found, mask)
    return found


def as_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Ids as the text that they are everywhere else: whole numbers digit by digit."""
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    return values.cast(kind).cast(pa.string())


def _mac(key: bytes, who: str) -> str:
    return hmac.new(key, who.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


def _check(key: bytes) -> str:
    """Tells the key from another one; no id has a line break at both ends."""
    return _mac(key, "\nchurn forget\n")


def _key(place: Path) -> bytes | None:
    given = secret.read(KEY_VARIABLE)
    if given:
        return given.encode()
    path = place / KEY_FILE
    return path.read_bytes() if path.exists() else None


def _new_key(place: Path) -> bytes:
    """A key of the workspace's own, readable by its owner alone from its first byte on."""
    key = secrets.token_hex(32).encode()
    place.mkdir(parents=True, exist_ok=True)
    unnamed = place / f"{KEY_FILE}.new"
    unnamed.unlink(missing_ok=True)
    descriptor = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unnamed, place / KEY_FILE)
    tables.sync(place)
    return key
