"""What waits to be delivered and what was: `WORKSPACE/outbox/`, one file for each message.

A message is known by a fingerprint of what it says and to whom, so that nothing is sent twice.
`waiting/` holds those not delivered yet, `delivered/` a line for each that was; neither holds an
address of a server, a password or a URL.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from churn.errors import ChurnError, DeliveryError
from churn.io import tables


@dataclass(frozen=True)
class Message:
    """Something to deliver: `kind` mail, notice, copy or table; `name` the mail's file, the variable
    that says where a notice goes, the setting or the table; `revision` which list it is about; `text`
    the `.eml` or the notice, of the others a fingerprint of what they bring."""

    kind: str
    revision: str
    name: str
    text: str

    @property
    def fingerprint(self) -> str:
        words = [self.kind, self.name if self.kind in ("notice", "table") else "", self.text]
        return hashlib.sha256("\x00".join(words).encode()).hexdigest()[:32]

    @property
    def words(self) -> str:
        """How a person knows it."""
        return f"{self.kind} {self.name} of {self.revision}"


def add(place: Path, message: Message) -> None:
    """Let `message` wait, unless it waits already or was delivered."""
    if not (_folder(place, "delivered") / message.fingerprint).exists():
        path = _folder(place, "waiting") / f"{message.fingerprint}.json"
        tables.write_sealed(path, asdict(message))


def waiting(place: Path) -> list[Message]:
    """All that waits and can be read, older lists first."""
    found = [read for _, read in _read(place) if isinstance(read, Message)]
    return sorted(found, key=lambda message: (message.revision, message.kind, message.name))


def damaged(place: Path) -> list[DeliveryError]:
    """What waits and cannot be read any more, as failures to deliver it."""
    return [
        DeliveryError(
            f"a message that waits cannot be read: {path}",
            got=read.got,
            expected=read.expected,
            next_step=f"send the mail beside its list by hand, then delete {path}",
        )
        for path, read in _read(place)
        if isinstance(read, ChurnError)
    ]


def _read(place: Path) -> Iterator[tuple[Path, Message | ChurnError]]:
    for path in sorted(_folder(place, "waiting").glob("*.json")):
        try:
            said = tables.read_json(path)
            yield path, Message(**{one.name: said[one.name] for one in fields(Message)})
        except ChurnError as error:
            yield path, error


def delivered(place: Path, message: Message) -> None:
    """Note that `message` has arrived: first that it did, so that no crash sends it again."""
    tables.write_bytes(
        _folder(place, "delivered") / message.fingerprint, f"{message.words}\n".encode()
    )
    (_folder(place, "waiting") / f"{message.fingerprint}.json").unlink(missing_ok=True)


def waits(place: Path, message: Message) -> bool:
    return (_folder(place, "waiting") / f"{message.fingerprint}.json").exists()


def drop(place: Path, is_over: Callable[[Message], bool]) -> None:
    """Give up what waits and is no longer true."""
    for message in waiting(place):
        if is_over(message):
            give_up(place, message)


def give_up(place: Path, message: Message) -> None:
    """Let `message` wait no more."""
    (_folder(place, "waiting") / f"{message.fingerprint}.json").unlink(missing_ok=True)


def is_delivered(place: Path, message: Message) -> bool:
    return (_folder(place, "delivered") / message.fingerprint).exists()


def _folder(place: Path, name: str) -> Path:
    folder = place / "outbox" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
