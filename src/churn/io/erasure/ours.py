"""Which files of a workspace the product wrote: those it may rewrite, and no others.

A workspace is a folder like any other: people keep their logs in it, put lists back that they filled in,
or mistype its name. A file is ours because a manifest of ours names it, or because it stands where
nothing but the product writes, under a name that only the product gives.
"""

import os
import re
from pathlib import Path

from churn.errors import ConfigurationError, InputError
from churn.io import tables
from churn.io.revisions import MANIFEST as REVISION

_DAY = r"\d{4}-\d\d-\d\d"
_HASH = r"[0-9a-f]{16}"

_WRITTEN = (
    r"forgotten\.json|\.forget\.key|\.lock|(champion|challenger|previous|rule)\.json",
    rf"retention/{_DAY}/(retention_list\.(csv|xlsx|html)|digest\.eml|listing\.json|digests/[^/]+\.eml)",
    r"published/(CURRENT|index\.html|status\.json|metrics\.prom)",
    rf"quality/{_DAY}\.(html|json)|reasons/importance\.(json|png)|runs/names\.json",
    r"backtest/backtest\.(json|md)|impact/impact\.(html|md)|define/definition\.(md|png)",
    r"compare/compare\.(html|json|md|png)|tune/(tune\.(html|json|md)|trials\.(json|png))",
    r"tune/experiment/[^/]+\.yaml|cards/[0-9a-f]{12}\.(html|yaml)",
    r"metrics/\w+\.json|plots/(gain|calibration)\.csv",
    r"models/[0-9a-f]{12}/(booster\.txt|spec\.json|record\.[0-9a-f]{12}\.json)",
    r"uplift/(uplift\.json|model\.txt)|mlflow/(mlflow\.db|\.lock|(artifacts|spool|running)/.+)",
    r"outbox/(waiting|delivered|given_up)/[^/]+|logs/\d{8}T\d{6}Z-[0-9a-f]{4}\.jsonl",
    rf"deliveries/(index\.json|customers\.npy|{_HASH}\.[^/]+\.parquet(\.json)?|remote/{_HASH}-[^/]+)",
    r"(sql|spark)/[0-9a-f]{12}/.+|complete_journey/(events/2017|customers|contacts)\.parquet",
    r"(\.staging-)?demo/(demo/)?(events/week_\d+|customers|subscriptions|contacts)\.parquet",
    r"(\.staging-demo/)?truth/(weeks\.parquet|\.truth)",
)
"""What stands beside the tables and the revisions, whose manifests name their files themselves."""

_IS_WRITTEN = re.compile(rf"(replay/)?({'|'.join(_WRITTEN)})")
_IS_REVISION = re.compile(rf"(replay/)?published/{_DAY}/r\d+")
PART = re.compile(r".+\.[0-9a-f]{12}\.parquet")
"""What a part of a table is called (`tables.commit`)."""


def files(place: Path) -> list[Path]:
    """Every file below `place` that the product wrote, sorted; no link to another place.

    Raises `InputError` for a manifest that is damaged: nobody could tell what is ours.
    """
    found: list[Path] = []
    for folder, _, names in os.walk(place):
        here = Path(folder)
        named = _named(place, here, names)
        found += [
            here / name
            for name in names
            if name in named or _IS_WRITTEN.fullmatch((here / name).relative_to(place).as_posix())
        ]
        above = next((up for up in here.parents if _is_revision(place, up)), None)
        if above is not None:  # a folder of a revision, such as that of the owners' digests
            told = tables.read_json(above / REVISION)["files"]
            inside = here.relative_to(above).as_posix()
            found += [here / name for name in names if f"{inside}/{name}" in told]
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


def _named(place: Path, folder: Path, names: list[str]) -> set[str]:
    """Of the files of a folder, those that its manifest speaks for, and the manifest."""
    if _is_revision(place, folder):
        return {REVISION, *tables.read_json(folder / REVISION)["files"]}
    if tables.MANIFEST in names and tables.is_sealed(folder / tables.MANIFEST):
        return {tables.MANIFEST, *filter(PART.fullmatch, names)}
    return set()


def _is_revision(place: Path, folder: Path) -> bool:
    if place not in folder.parents:
        return False
    is_one = _IS_REVISION.fullmatch(folder.relative_to(place).as_posix())
    return bool(is_one) and (folder / REVISION).exists()


def require_workspace(place: Path) -> None:
    """Raise `ConfigurationError` where nothing says that the product ever worked: a mistyped folder
    must neither look clean nor be searched."""
    if not place.is_dir():
        raise ConfigurationError(
            "there is no such workspace",
            got=str(place),
            expected="the folder that the other commands write to",
            next_step="correct workspace=",
        )
    if not is_workspace(place):
        raise ConfigurationError(
            f"{place} is no workspace",
            got="a folder without a sealed manifest, index or revision of churn",
            expected="the folder that the other commands write to",
            next_step="correct workspace=; if it is the right one, run `churn rollup` first",
        )


def is_workspace(place: Path) -> bool:
    """Whether a mark stands in `place` that nothing but the product writes."""
    marks = [
        *place.glob(f"*/{tables.MANIFEST}"),
        *place.glob(f"published/*/r*/{REVISION}"),
        *place.glob("deliveries/index.json"),
    ]
    return (place / "truth" / ".truth").is_file() or any(map(_is_sealed, marks))


def _is_sealed(path: Path) -> bool:
    try:
        return tables.is_sealed(path)
    except InputError:
        return False
