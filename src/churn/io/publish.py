"""Revisions that never change, and the one name that says which of them is current.

`published/<as_of>/r<N>/` is staged, hashed and renamed whole; `CURRENT` is renamed last. A reader
sees the list of last week or of this week, complete, and never a mix.
"""

import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from churn.errors import DeliveryError
from churn.io import bundle, revisions, tables
from churn.io.documents import people
from churn.io.weekly import revised
from churn.io.workspace import SIDES, USAGE, Workspace
from churn.retention.policy import Policy
from churn.settings import Settings

log = logging.getLogger("churn")

MANIFEST = revisions.MANIFEST
TABLES = {
    "retention_list": ("retention", "retain"),
    "scores": ("scores", "score"),
    "reasons": ("reasons", "explain"),
}
"""The tables in a revision: its file, the folder, and which command makes it."""


def publish(settings: Settings, as_of: date, *, gates: Mapping[str, Any]) -> Path:
    """Publish what stands in the workspace for `as_of`; returns the folder of the revision.

    The content of the last revision makes no new one. Files: the list in four formats, scores,
    reasons, the digest mail, the model card and a manifest with the sha256 and rows of each and of
    every input.
    `gates` is what each of them found.
    """
    workspace = Workspace(settings.place)
    published = settings.place / "published"
    with tables.staging(published) as staged:
        folder = staged / "revision"
        folder.mkdir()
        _gather(workspace, folder, as_of)
        manifest = _manifest(settings, workspace, folder, as_of) | {"gates": dict(gates)}
        present = [*revisions.numbered(published / as_of.isoformat()).values()]
        if present:
            manifest["changes"] = revised.changes(present[-1], folder, manifest=manifest)
        tables.write_sealed(folder / MANIFEST, manifest)
        if settings.weekly.dry_run:
            _tell_difference(published, folder)
            return folder
        place, is_new = _settled(published / as_of.isoformat(), folder)
    _point(published)
    log.info("published %s" if is_new else "published before, and nothing changes: %s", place)
    if is_new and present:
        log.info("%s", revised.in_words(manifest["changes"]))
    return place


def _gather(workspace: Workspace, folder: Path, as_of: date) -> None:
    from churn.io.lab import (
        model_card,  # it knows the learning room; `churn status` should not wait
    )

    part = as_of.isoformat()
    for name, (table, command) in TABLES.items():
        path = tables.parts(workspace.folder(table), made_by=command, only=[part])[part]
        shutil.copyfile(path, folder / f"{name}.parquet")
    week = workspace.folder("retention") / part
    for name in people.files(week):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(week / name, folder / name)
    champion = bundle.described(workspace.place)
    card = model_card.text(champion.version, champion.spec, churn=champion.spec["churn"])
    (folder / "card.md").write_text(card)


def _manifest(
    settings: Settings, workspace: Workspace, folder: Path, as_of: date
) -> dict[str, Any]:
    """What is in a revision and what it was made from; no clock, host or registry number."""
    part = as_of.isoformat()
    usage = workspace.usage_facts()
    n_scored = pq.ParquetFile(folder / "scores.parquet").metadata.num_rows
    n_not = len(tables.read(workspace.folder("not_scored"), made_by="score", part=part))
    before = revisions.latest(settings, as_of)
    return {
        "as_of": part,
        "previous": before and {"revision": before.revision, "manifest_sha256": before.sha256},
        "files": described(folder),
        "inputs": {
            "deliveries": usage["deliveries"],
            **{name: _input(workspace, name) for name in (*USAGE, *SIDES)},
        },
        "configuration": _configuration(settings),
        "model_version": bundle.described(workspace.place).version,
        "counts": {
            "rows": usage["rows"],
            "sides": usage["sides"],
            "active_customers": n_scored + n_not,
            "scored": n_scored,
            "not_scored": n_not,
            "listed": pq.ParquetFile(folder / "retention_list.parquet").metadata.num_rows,
        },
    }


def _input(workspace: Workspace, name: str) -> dict[str, Any]:
    """Fingerprint and rows of a table that the list was made from."""
    files = tables.parts(workspace.folder(name), made_by="rollup").values()
    return {
        "sha256": tables.fingerprint(workspace.folder(name), made_by="rollup"),
        "rows": sum(pq.ParquetFile(path).metadata.num_rows for path in files),
    }


def _configuration(settings: Settings) -> dict[str, Any]:
    """What decides a list beside model and data: no place, no address, nobody's id."""
    hidden = ("events", "world", *SIDES)
    source = {key: value for key, value in asdict(settings.source).items() if key not in hidden}
    return {
        "known_at": settings.known_at,
        "seed": settings.seed,
        "source": source,
        "explain": asdict(settings.explain),
        "retain": {**asdict(settings.retain), **_counted(settings.retain)},
    }


def _counted(policy: Policy) -> dict[str, int]:
    """How many customers and owners a policy names: their ids have no place in a manifest."""
    return {name: len(getattr(policy, name)) for name in ("always", "do_not_contact", "capacities")}


def described(folder: Path) -> dict[str, Any]:
    """The files of a revision, as paths below it, with sha256 and rows."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    return {
        name: _described(folder / name)
        for name in sorted(path.relative_to(folder).as_posix() for path in found)
    }


def _described(path: Path) -> dict[str, Any]:
    described: dict[str, Any] = {"sha256": tables.sha256(path)}
    if path.suffix == ".parquet":
        described["rows"] = pq.ParquetFile(path).metadata.num_rows
    return described


def _settled(week: Path, folder: Path) -> tuple[Path, bool]:
    """The place of a finished revision, and whether it is new: not if the week's last has its files.

    What became known since and changed no file makes no revision: the manifest may differ. A return
    to an earlier revision makes one: what was asked for last is what people shall read.
    """
    present = revisions.numbered(week)
    files = _files(folder)
    same = [place for place in present.values() if _files(place) == files]
    for place in same:
        _restore(place, folder)
    if same and same[-1] == present[max(present)]:
        return same[-1], False
    week.mkdir(exist_ok=True)
    tables.sync(week.parent)
    for path in [*folder.rglob("*"), folder]:
        tables.sync(path)
    place = week / f"r{max(present, default=0) + 1}"
    os.replace(folder, place)
    tables.sync(week)
    return place, True


def _files(folder: Path) -> Any:
    return tables.read_json(folder / MANIFEST)["files"]


def _restore(place: Path, folder: Path) -> None:
    """Put files of `place` that are damaged or gone back, from `folder`, which has the same ones."""
    for name, described in _files(place).items():
        path = place / name
        if not path.exists() or tables.sha256(path) != described["sha256"]:
            path.parent.mkdir(exist_ok=True)
            spare = folder.with_name("restored")
            shutil.copyfile(folder / name, spare)  # the original may be needed for a new revision
            tables.sync(spare)
            os.replace(spare, path)
            tables.sync(path.parent)
            log.warning("%s was not the file that was published: restored", path)


def _point(published: Path) -> None:
    """Make the greatest `as_of` with its last revision the current one."""
    newest = revisions.names(published)[-1]
    try:
        tables.write_bytes(published / "CURRENT", f"{newest}\n".encode())
    except OSError as error:
        if revisions.current(published) != published / newest:
            raise
        raise DeliveryError(
            "the list is published, but the disk has not confirmed it",
            got=str(error),
            expected="a disk that keeps what it is given",
            next_step="look at the disk, then run `churn weekly` again: it writes the pointer anew",
        ) from error


def _tell_difference(published: Path, folder: Path) -> None:
    """Who would join and who would leave the list that is published now."""
    new = set(
        pq.read_table(folder / "retention_list.parquet", columns=["customer_id"])[
            "customer_id"
        ].to_pylist()
    )
    place = revisions.current(published)
    old = _members(place) if place else set()
    log.info("dry run: %d on the list, %d new, %d leave", len(new), len(new - old), len(old - new))
    for customer in sorted(new - old):
        log.info("  + %s", customer)
    for customer in sorted(old - new):
        log.info("  - %s", customer)


def _members(place: Path) -> set[str]:
    path = place / "retention_list.parquet"
    return set(pq.read_table(path, columns=["customer_id"])["customer_id"].to_pylist())
