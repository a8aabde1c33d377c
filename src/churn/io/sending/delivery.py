"""The current revision to where it is wanted: mails, notices, a copy, each once, the rest waits."""

import logging
from datetime import date
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from churn.errors import ChurnError, DeliveryError
from churn.io import revisions, tables, wording
from churn.io.documents import mail, people
from churn.io.sending import copies, notices, outbox, sink, smtp, standing
from churn.io.sending.outbox import Message
from churn.settings.deliver import DeliverSettings

log = logging.getLogger("churn")


def require(deliver: DeliverSettings) -> None:
    """Raise `ConfigurationError` before any work for settings that could deliver nothing."""
    if deliver.host:
        smtp.credentials(deliver)
    if deliver.notify:
        notices.require(deliver.notify)
    copies.require(deliver)


def is_wanted(deliver: DeliverSettings) -> bool:
    return bool(deliver.host or deliver.notify or deliver.copy_to)


def send(deliver: DeliverSettings, *, place: Path) -> None:
    """Deliver what the current revision of workspace `place` has for people, and what waits.

    All are tried. Raises `DeliveryError` for the first that failed; those that did wait for
    `churn deliver`.
    """
    failures = unsent(deliver, place=place)
    if failures:
        raise failures[0]


def unsent(deliver: DeliverSettings, *, place: Path) -> list[DeliveryError]:
    """`send`, with the failures returned instead of raised."""
    published = place / "published"
    revision = revisions.current(published)
    if revision is None or not (is_wanted(deliver) or outbox.waiting(place)):
        return []
    mine = _messages(deliver, revision, published)
    if not standing.status_of(published)["is_stale"]:
        outbox.drop(place, _tells_of_no_list)  # there is one again
    for message in mine:
        outbox.add(place, message)
    failed = _sent(deliver, place, [one for one in outbox.waiting(place) if _has_way(deliver, one)])
    _tell(published, place, mine, failed)
    return [*(_undelivered(message, error) for message, error in failed), *outbox.damaged(place)]


def alert(deliver: DeliverSettings, *, place: Path) -> None:
    """Tell the head of CS, and the services to notify, that no new list came out, and why.

    What fails waits like everything else; the failure that is told about is the one that counts.
    """
    status = standing.status_of(place / "published")
    refused = status["refused"]
    if not is_wanted(deliver) or refused is None:
        return
    as_of = date.fromisoformat(status["as_of"]) if status["as_of"] else None
    revision = str(status["current"] or "no list")
    mine = [Message("notice", revision, name, mail.stale_line(as_of)) for name in deliver.notify]
    if deliver.host and deliver.head:
        text = mail.stale_eml(as_of, refused).decode("ascii")
        mine.append(Message("mail", revision, people.STALE, text))
    for message in mine:
        outbox.add(place, message)
    for message, error in _sent(deliver, place, [one for one in mine if outbox.waits(place, one)]):
        log.warning("%s was not delivered, it waits: %s", message.words, error.what)


def _tells_of_no_list(message: Message) -> bool:
    """Whether a message of `alert`: it is no longer true once a list has come out."""
    is_notice = message.kind == "notice" and message.text.startswith(mail.NO_NEW_LIST)
    return is_notice or message.name == people.STALE


def _messages(deliver: DeliverSettings, revision: Path, published: Path) -> list[Message]:
    """What the revision has for people, as far as there is somebody to get it."""
    name = revision.relative_to(published).as_posix()
    found = []
    for file in [one for one in people.files(revision) if deliver.host and one.endswith(".eml")]:
        if file in _addresses(deliver):
            text = (revision / file).read_bytes().decode("ascii")  # as `mail` writes every text
            found.append(Message("mail", name, file, text))
        else:
            log.info("%s has no address: nobody gets it (deliver.head, deliver.owners)", file)
    if deliver.copy_to:
        found.append(copies.message(deliver, place=published.parent, revision=name))
    text = notice(revision)
    return [*found, *(Message("notice", name, variable, text) for variable in deliver.notify)]


def _addresses(deliver: DeliverSettings) -> dict[str, str]:
    """Who gets which mail, by its file."""
    found = {people.digest_of(owner): address for owner, address in deliver.owners.items()}
    head = {people.DIGEST: deliver.head, people.STALE: deliver.head} if deliver.head else {}
    return found | head


def notice(revision: Path) -> str:
    """That the list is out, and of how many; nobody's name leaves the house."""
    manifest = tables.read_json(revision / "manifest.json")
    as_of = date.fromisoformat(manifest["as_of"])
    n_listed = manifest["counts"]["listed"]
    customers = "1 customer" if n_listed == 1 else f"{n_listed:,} customers"
    return f"The retention list of {wording.day(as_of)} is out: {customers} to contact."


def _has_way(deliver: DeliverSettings, message: Message) -> bool:
    """What waits for a server, person or service that is no longer set goes on waiting."""
    if message.kind == "notice":
        return message.name in deliver.notify
    if message.kind == copies.KIND:
        return copies.is_for(deliver, message)
    return bool(deliver.host) and message.name in _addresses(deliver)


def _sent(
    deliver: DeliverSettings, place: Path, messages: list[Message]
) -> list[tuple[Message, ChurnError]]:
    """Try each; the failures. A server that cannot be reached fails all its mails at once."""
    mails = [message for message in messages if message.kind == "mail"]
    failed = _mailed(deliver, place, mails) if mails else []
    for message in messages:
        try:
            if message.kind == "notice":
                notices.send(message.name, title="Retention list", text=message.text)
                _arrived(place, message)
            elif message.kind == copies.KIND:
                copies.send(deliver, place=place, revision=message.revision)
                _arrived(place, message)
        except ChurnError as error:
            failed.append((message, error))
    return failed


def _mailed(
    deliver: DeliverSettings, place: Path, mails: list[Message]
) -> list[tuple[Message, ChurnError]]:
    failed: list[tuple[Message, ChurnError]] = []
    try:
        with smtp.connected(deliver) as server:
            for message in mails:
                try:
                    with smtp.in_our_words(deliver):
                        server.send_message(_mail(deliver, message))
                    _arrived(place, message)
                except ChurnError as error:
                    failed.append((message, error))
    except ChurnError as error:
        return [(message, error) for message in mails]
    return failed


def _mail(deliver: DeliverSettings, message: Message) -> EmailMessage:
    recipient = _addresses(deliver)[message.name]
    return smtp.addressed(message.text, sender=deliver.sender, recipient=recipient)


def _arrived(place: Path, message: Message) -> None:
    outbox.delivered(place, message)
    log.info("delivered: %s", message.words)


def _undelivered(message: Message, error: ChurnError) -> DeliveryError:
    return DeliveryError(
        f"{message.words} was not delivered: {error.what}",
        got=error.got,
        expected=error.expected,
        next_step=f"{error.next_step}; it waits, `churn deliver` tries again",
    )


def _tell(
    published: Path, place: Path, mine: list[Message], failed: list[tuple[Message, ChurnError]]
) -> None:
    """Into the status for monitors: what of the current list has arrived, and what waits. Nothing
    in it is an address or a secret. Why a list is stale stays the more important of two codes."""
    reasons = {message.fingerprint: error for message, error in failed}
    old = [
        one for one in outbox.waiting(place) if one.fingerprint not in {m.fingerprint for m in mine}
    ]
    before = standing.status_of(published)
    code = DeliveryError.exit_code if failed or _tables_wait(old) else 0
    status = before | {
        "exit_code": before["exit_code"] if before["is_stale"] else code,
        "deliveries": [_state(place, message, reasons) for message in [*mine, *old]],
    }
    tables.write_json(published / standing.STATUS, status)


def _tables_wait(messages: list[Message]) -> bool:
    """Rows for a database are sent before mails; those that still wait have just failed."""
    return any(message.kind == sink.KIND for message in messages)


def _state(place: Path, message: Message, reasons: dict[str, ChurnError]) -> dict[str, Any]:
    error = reasons.get(message.fingerprint)
    return {
        "revision": message.revision,
        "kind": message.kind,
        "name": message.name,
        "is_delivered": outbox.is_delivered(place, message),
        "reason": error.what if error else None,
    }
