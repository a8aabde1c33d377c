"""Published revisions, lists and mails made again without a customer.

A revision never changes but here. The new one is finished beside the old one, the two change places in
one step, and its manifest says that somebody was forgotten, never who. A later revision that names the
manifest of an earlier one names it anew.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from churn.io import exchange, publish, revisions, tables
from churn.io.documents import listing_file, people
from churn.io.documents.handout import Listing
from churn.io.erasure import by_kind, ours, search, words
from churn.io.erasure.by_kind import Account, Change, folder_of
from churn.io.erasure.search import Person
from churn.io.sending import delivery, outbox
from churn.io.sending.outbox import Message

MANIFEST = "manifest.json"


def in_revisions(
    place: Path, person: Person, account: Account, *, notices: Sequence[str]
) -> list[str]:
    """Every published revision below `place`, each shelf from its oldest on; those of the workspace's
    own shelf that are others now. `notices` are the variables whose services were told of a list:
    they are not told of it again."""
    changed = []
    shelves = {path.parents[2] for path in ours.files(place) if path.name == MANIFEST}
    for published in sorted(shelves):
        renamed: dict[str, str] = {}
        for name in revisions.names(published):
            before = tables.sha256(published / name / MANIFEST)
            gone, n_made = _rewrite(place, published / name, person, renamed, notices=notices)
            shelf = folder_of(place, published)
            account.note(shelf, rows=gone.rows, words=gone.words, documents=n_made)
            after = tables.sha256(published / name / MANIFEST)
            if after != before:
                renamed[before] = after
                changed += [name] if published == place / "published" else []
    return changed


def _rewrite(
    place: Path, revision: Path, person: Person, renamed: dict[str, str], *, notices: Sequence[str]
) -> tuple[Change, int]:
    """One revision; its tables' change, and how many documents the person stood in."""
    with tables.staging(revision.parents[1]) as staged:
        folder = staged / "revision"
        shutil.copytree(revision, folder)
        documents = _documents(folder, person)
        manifest = tables.read_json(revision / MANIFEST)
        told = manifest["files"]
        parts = [folder / name for name in sorted(told) if name.endswith(".parquet")]
        found = [by_kind.replaced(path, person) for path in parts]
        gone = Change(sum(one.rows for one in found), sum(one.words for one in found))
        previous = manifest.get("previous") or {}
        is_renamed = previous.get("manifest_sha256") in renamed
        if not (any(gone) or documents or is_renamed):
            return gone, 0
        if is_renamed:
            previous["manifest_sha256"] = renamed[previous["manifest_sha256"]]
        left = publish.described(folder)
        manifest["files"] = {name: one for name, one in left.items() if name in told}
        manifest["counts"] |= _counts(folder, manifest["counts"])
        manifest["forgotten"] = manifest.get("forgotten", 0) + bool(any(gone) or documents)
        tables.write_sealed(folder / MANIFEST, words.unnamed(manifest, person))
        _delivered_already(place, revision, folder, notices=notices)
        for path in [*folder.rglob("*"), folder]:
            tables.sync(path)
        exchange.folders(folder, revision)
    return gone, documents


def _counts(folder: Path, before: dict[str, Any]) -> dict[str, int]:
    """What the manifest counts, of what is still there."""
    rows = {name: _n_rows(folder / f"{name}.parquet") for name in ("scores", "retention_list")}
    n_not = before["not_scored"]
    return {
        "listed": rows["retention_list"],
        "scored": rows["scores"],
        "active_customers": rows["scores"] + n_not,
    }


def _n_rows(path: Path) -> int:
    return int(pq.ParquetFile(path).metadata.num_rows)


def _documents(folder: Path, person: Person) -> int:
    """Make what people open of a revision again without the person; how many files that changed."""
    rows = pd.read_parquet(folder / "retention_list.parquet")
    return _made_again(folder, rows, person)


def _made_again(folder: Path, rows: pd.DataFrame, person: Person) -> int:
    """The documents of `folder` without the person; without what they were made from, those that
    name the person are deleted."""
    there = [folder / name for name in people.files(folder) if (folder / name).exists()]
    source = folder / people.LISTING
    if not source.exists():
        is_listed = "customer_id" in person.columns and (rows["customer_id"] == person.who).any()
        named = [
            path for path in there if is_listed or search.stands_in(path, person, place=folder)
        ]
        for path in named:
            path.unlink()
        return len(named)
    listing = listing_file.read(source.read_bytes(), rows)
    is_in = person.kind == "customer" and listing_file.has(listing, person.who)
    if not (is_in or any(search.stands_in(path, person, place=folder) for path in there)):
        return 0
    before = {path: path.read_bytes() for path in there}
    people.write(
        _unnamed(listing_file.without(listing, person.who) if is_in else listing, person), folder
    )
    for name in people.files(folder):  # such as the id of another customer that begins with theirs
        if search.stands_in(folder / name, person, place=folder):
            (folder / name).unlink()
    return sum(not path.exists() or path.read_bytes() != text for path, text in before.items())


def _unnamed(listing: Listing, person: Person) -> Listing:
    """The same list, in which nobody's words name the person."""
    others = {*listing.rows["customer_id"], *listing.details}
    told = words.unnamed(json.loads(listing_file.to_bytes(listing)), person, spared=others)
    text = json.dumps(told, ensure_ascii=False).encode(errors="surrogatepass")
    return listing_file.read(text, words.unnamed_rows(listing.rows, person))


def in_lists(place: Path, person: Person, account: Account) -> None:
    """The documents that `churn retain` left beside its table, below `retention/<as_of>/`."""
    for source in [path for path in ours.files(place) if path.name == people.FILES[0]]:
        folder = source.parent
        if (folder / MANIFEST).exists():
            continue
        part = folder.name
        table = folder.parent
        is_kept = tables.exists(table) and part in tables.names(table)
        rows = tables.read(table, made_by="retain", part=part) if is_kept else None
        rows = pd.DataFrame({"customer_id": []}) if rows is None else rows
        account.note(folder_of(place, folder), documents=_made_again(folder, rows, person))


def names_of(place: Path, who: str) -> set[str]:
    """What a customer is called in any list below `place`."""
    found: set[str] = set()
    for path in [path for path in ours.files(place) if path.name == people.LISTING]:
        listing = listing_file.read(
            path.read_bytes(), pd.DataFrame({"customer_id": [], "customer_name": []})
        )
        found |= listing_file.names_of(listing, who)
    return found


def _delivered_already(place: Path, old: Path, new: Path, *, notices: Sequence[str]) -> None:
    """What was delivered of the old revision counts as delivered of the new one: nobody is told of
    the same list twice because somebody was forgotten."""
    name = old.relative_to(old.parents[1]).as_posix()
    for file in [one for one in people.files(old) if one.endswith(".eml")]:
        if (old / file).exists() and (new / file).exists():
            texts = [(folder / file).read_bytes().decode("ascii") for folder in (old, new)]
            _moved(place, Message("mail", name, file, texts[0]), texts[1])
    for variable in notices:
        _moved(place, Message("notice", name, variable, delivery.notice(old)), delivery.notice(new))


def _moved(place: Path, message: Message, text: str) -> None:
    if outbox.is_delivered(place, message):
        outbox.delivered(place, replace(message, text=text))


def in_outbox(place: Path, person: Person, account: Account) -> None:
    """What waits to be sent says what its revision says now; what is no longer there, or names the
    person in another way, waits no more."""
    for message in outbox.waiting(place) if (place / "outbox").exists() else []:
        path = place / "published" / message.revision / message.name
        text = path.read_bytes().decode("ascii") if path.is_file() else ""
        is_of_a_list = message.name in people.FILES or message.name.startswith(people.DIGESTS)
        is_changed = message.kind == "mail" and is_of_a_list and text != message.text
        if is_changed and text:
            outbox.add(place, replace(message, text=text))
        if is_changed or (not is_of_a_list and search.is_told_in(message.text, person)):
            outbox.give_up(place, message)
            account.note("outbox/", documents=1)
