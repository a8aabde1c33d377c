"""Copies of published revisions at a URL: object storage, another file system.

`URL/<as_of>/r<N>/…` holds the files of a revision, its manifest last, and `URL/CURRENT` is written when
all are there, as in the workspace: a reader of the copy sees whole lists too.

S3 goes by Arrow's own client, which is here anyway: s3fs needs botocore, whose python-dateutil is older
than the one that matplotlib asks for. Who we are it learns as every client of S3 does, from
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, a profile or the machine's role; AWS_ENDPOINT_URL names another
server than Amazon's. Other URLs go by fsspec and the driver that is installed.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from churn.errors import ChurnError, ConfigurationError, MachineError
from churn.io import revisions, tables
from churn.io.sending.outbox import Message
from churn.settings.deliver import DeliverSettings

KIND, NAME = "copy", "deliver.copy_to"

MANIFEST = "manifest.json"

ATTEMPTS = 2


def require(deliver: DeliverSettings) -> None:
    """Raise `ConfigurationError` for a URL whose driver is not installed."""
    if deliver.copy_to and not _is_s3(deliver.copy_to):
        _by_fsspec(deliver.copy_to)


def message(deliver: DeliverSettings, *, place: Path, revision: str) -> Message:
    """That `revision` has to be copied: known by what is in it, and by where it goes to, which stands
    in the message as a hash alone."""
    manifest = tables.sha256(place / "published" / revision / MANIFEST)
    target = hashlib.sha256(str(deliver.copy_to).encode()).hexdigest()
    return Message(KIND, revision, NAME, f"{target} {manifest}")


def is_for(deliver: DeliverSettings, waiting: Message) -> bool:
    """Whether a copy that waits goes to where copies go now."""
    target = hashlib.sha256(str(deliver.copy_to).encode()).hexdigest()
    return bool(deliver.copy_to) and waiting.text.startswith(target)


def send(deliver: DeliverSettings, *, place: Path, revision: str) -> None:
    """Copy `revision` to `deliver.copy_to`, and `CURRENT` last if it is the current one.

    A revision that is no more needs no copy. Raises `MachineError` in our words; none holds a secret.
    """
    published = place / "published"
    folder = published / revision
    if not (folder / MANIFEST).exists():
        return
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    with _in_our_words(deliver):
        system, root = _system(deliver)
        for name in sorted(names, key=lambda name: (name == MANIFEST, name)):
            target = f"{root}/{revision}/{name}"
            system.makedirs(target.rpartition("/")[0], exist_ok=True)
            system.put_file(str(folder / name), target)
        if revisions.current(published) == folder:
            _replace(system, f"{root}/CURRENT", f"{revision}\n".encode())


def _replace(system: Any, path: str, content: bytes) -> None:
    """Objects are replaced whole; a file is, if it is renamed into place."""
    from fsspec.implementations.local import LocalFileSystem

    if isinstance(system, LocalFileSystem):
        tables.write_bytes(Path(path), content)
    else:
        system.pipe_file(path, content)


def _system(deliver: DeliverSettings) -> tuple[Any, str]:
    url = str(deliver.copy_to).rstrip("/")
    return _by_arrow(url, deliver.timeout_seconds) if _is_s3(url) else _by_fsspec(url)


def _is_s3(url: str) -> bool:
    return url.startswith("s3://")


def _by_arrow(url: str, seconds: int) -> tuple[Any, str]:
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow import fs

    system = fs.S3FileSystem(
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        endpoint_override=os.environ.get("AWS_ENDPOINT_URL") or None,
        connect_timeout=seconds,
        request_timeout=seconds,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )
    return ArrowFSWrapper(system), url.removeprefix("s3://")


def _by_fsspec(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigurationError(
            f"{NAME} has no driver",
            got=str(error),
            expected="s3://BUCKET/PREFIX, file:///FOLDER, or a URL whose fsspec driver is installed",
            next_step="install the driver (gcsfs, adlfs …)",
        ) from None
    return system, str(root)


@contextmanager
def _in_our_words(deliver: DeliverSettings) -> Iterator[None]:
    try:
        yield
    except ChurnError:
        raise
    except (OSError, ValueError) as error:
        raise MachineError(
            f"{deliver.copy_to} does not take the copy",
            got=(str(error).splitlines() or [type(error).__name__])[0][:300],
            expected="a place that can be written to",
            next_step="check address, network and the credentials in the environment",
        ) from None
