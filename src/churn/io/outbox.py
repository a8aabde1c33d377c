"""What waits to be delivered and what was: `WORKSPACE/outbox/`, one file for each message.

A message is known by a fingerprint of what it says and to whom, so that nothing is sent twice.
`waiting/` holds those not delivered yet, `delivered/` a line for each that was; neither holds an
address of a server, a password or a URL.
"""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

from churn.io import tables


@dataclass(frozen=True)
class Message:
    """Something to deliver: `kind` mail or notice; `name` the mail's file, or the variable that says
    where a notice goes; `revision` which list it is about; `text` the `.eml` or the notice."""

    kind: str
    revision: str
    name: str
    text: str

    @property
    def fingerprint(self) -> str:
        words = [self.kind, self.name if self.kind == "notice" else "", self.text]
        return hashlib.sha256("\x00".join(words).encode()).hexdigest()[:32]

    @property
    def words(self) -> str:
        """How a person knows it."""
        return f"{self.kind} {self.name} of {self.revision}"


def add(place: Path, message: Message) -> None:
    """Let `message` wait, unless it waits already or was delivered."""
    if not (_folder(place, "delivered") / message.fingerprint).exists():
        path = _folder(place, "waiting") / f"{message.fingerprint}.json"
        tables.write_json(path, asdict(message))


def waiting(place: Path) -> list[Message]:
    """All that waits, older lists first."""
    found = [Message(**tables.read_json(path)) for path in _folder(place, "waiting").glob("*.json")]
    return sorted(found, key=lambda message: (message.revision, message.kind, message.name))


def delivered(place: Path, message: Message) -> None:
    """Note that `message` has arrived: first that it did, so that no crash sends it again."""
    tables.write_bytes(
        _folder(place, "delivered") / message.fingerprint, f"{message.words}\n".encode()
    )
    (_folder(place, "waiting") / f"{message.fingerprint}.json").unlink(missing_ok=True)


def waits(place: Path, message: Message) -> bool:
    return (_folder(place, "waiting") / f"{message.fingerprint}.json").exists()


def drop(place: Path, name: str) -> None:
    """Give up what waits under `name`: it is no longer true."""
    for message in waiting(place):
        if message.name == name:
            (_folder(place, "waiting") / f"{message.fingerprint}.json").unlink(missing_ok=True)


def is_delivered(place: Path, message: Message) -> bool:
    return (_folder(place, "delivered") / message.fingerprint).exists()


def _folder(place: Path, name: str) -> Path:
    folder = place / "outbox" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
