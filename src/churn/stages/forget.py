"""`churn forget customer=ID` (or `user=ID`): a person erased everywhere the product wrote, and proof."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as compute
import pyarrow.parquet as pq

from churn.errors import ConfigurationError, MachineError
from churn.io import tables
from churn.io.erasure import by_kind, of_intake, of_lists, ours, search
from churn.io.erasure.by_kind import Account
from churn.io.erasure.of_intake import Deliveries
from churn.io.erasure.search import Person
from churn.io.intake import forgotten, landing
from churn.io.sending import copies, outbox, sink
from churn.settings import Settings

log = logging.getLogger("churn")


def run(settings: Settings) -> None:
    """Erase, search again, and say what was looked at and what cannot be reached.

    The caller holds the workspace's lock. From the first step on nobody of that name comes back.
    Raises `MachineError` where something is left.
    """
    kind, who = asked(settings)
    place = settings.place
    gone = forgotten.remember(place, kind, who, is_erased=False)
    person = _person(settings, kind, who)
    told = of_intake.found(place, person, settings.source)
    account = _erased(settings, person, told, digest=gone.digest)
    n_sent = sink.forget(settings.sink, who) if kind == "customer" else 0
    found, unknown, n_read = search.remaining(place, person)
    written = {*ours.files(place)}
    left = [path for path in found if path in written]
    beside = [path for path in found if path not in written]
    _report(place, account, n_sent=n_sent)
    for words in [*_own(told, beside), *_unreached(settings, person), *_unknown(place, unknown)]:
        log.info("cannot reach: %s", words)
    if left:
        raise _half_forgotten(place, left)
    forgotten.remember(place, kind, who, is_erased=True)
    if not account.has_changes():
        where = " that could be erased" if told.own or beside else ""
        log.info("nothing of them was found%s; from now on they stay out", where)
    if person.pattern is None:
        log.info("the id is too short to be looked for in running text: searched by column alone")
    but = f" but {len(beside)} of yours" if beside else ""
    log.info("searched again: %d files, nothing of them is left in any%s", n_read, but)


def asked(settings: Settings) -> tuple[str, str]:
    """Whom to forget. Raises `ConfigurationError` unless it is one customer or one person."""
    given = {"customer": settings.customer, "user": settings.user}
    chosen = [(kind, who) for kind, who in given.items() if who]
    if len(chosen) != 1:
        raise ConfigurationError(
            "whom to forget is not clear",
            got="both customer= and user=" if chosen else "neither customer= nor user=",
            expected="one of them",
            next_step="give customer=ID for an account, or user=ID for a person inside one",
        )
    return chosen[0]


def _person(settings: Settings, kind: str, who: str) -> Person:
    """Whom to look for, with every name that is theirs alone."""
    columns = frozenset(landing.id_columns(settings.source)[kind])
    if kind == "user":
        return Person(kind, who, columns)
    own, others = of_lists.names_of(settings.place, who), set[str]()
    for path in ours.files(settings.place):
        if path.suffix == ".parquet" and {"customer_id", "customer_name"} <= {
            *pq.read_schema(path).names
        }:
            rows = pq.read_table(path, columns=["customer_id", "customer_name"])
            mine = compute.equal(forgotten.as_text(rows["customer_id"]), who)
            own |= {*rows.filter(mine)["customer_name"].to_pylist()}
            others |= {*rows.filter(compute.invert(mine))["customer_name"].to_pylist()}
    said = {str(name) for name in own - others if name}
    known = "\n".join(str(name) for name in others if name)
    theirs = {name for name in said if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", known)}
    return Person(kind, who, columns, frozenset(theirs))


def _erased(settings: Settings, person: Person, told: Deliveries, *, digest: str) -> Account:
    """Everything that is ours, in the order in which it can be taken up again after a kill."""
    place, account = settings.place, Account()
    by_kind.leftovers(place, account)
    for path in ours.files(place):
        account.looked[by_kind.folder_of(place, path)] += 1
    changed = of_lists.in_revisions(place, person, account, notices=settings.deliver.notify)
    for name in changed if settings.deliver.copy_to else []:
        outbox.add(place, copies.message(settings.deliver, place=place, revision=name))
    of_lists.in_outbox(place, person, account)
    of_lists.in_lists(place, person, account)
    of_intake.erase(place, person, told, account, digest=digest)
    by_kind.in_tables(place, person, account, judged=of_intake.judged(place))
    by_kind.in_loose_tables(place, person, account)
    by_kind.in_databases(place, person, account)
    by_kind.in_texts(place, person, account)
    return account


def _report(place: Path, account: Account, *, n_sent: int) -> None:
    for name in sorted(account.looked):
        rows, documents = account.rows[name], account.documents[name]
        done = [f"{rows:,} rows erased"] if rows else []
        done += [f"{documents:,} documents made anew or deleted"] if documents else []
        done += [f"{account.words[name]:,} rows of others put right"] if account.words[name] else []
        n_looked = account.looked[name]
        said = ", ".join(done) or "nothing of them"
        log.info("%s: %d file%s, %s", name, n_looked, "" if n_looked == 1 else "s", said)
    if n_sent:
        log.info("tables of the database that sink= names: %s rows erased", f"{n_sent:,}")


def _own(told: Deliveries, beside: Sequence[Path]) -> list[str]:
    """Files that belong to the user, of the source and `beside` it: read, never written."""
    others = [str(path) for path in beside if str(path) not in told.own]
    return [
        f"{path}, a file of yours, "
        + ("names them" if n is None else f"has {n:,} row{'s' if n != 1 else ''} of them")
        + "; left out from now on"
        for path, n in sorted(told.own.items())
    ] + [f"{path}, a file of yours, names them: it stays as it is" for path in others]


def _unreached(settings: Settings, person: Person) -> list[str]:
    """What was handed out, or learnt, and stands nowhere that the product can write."""
    place = settings.place
    words = []
    if any((place / "outbox" / "delivered").glob("*")):
        words.append("mails and notices that were sent")
    if tables.exists(place / "retention"):
        words.append("lists that somebody downloaded, printed or sent back filled in")
    models = sorted(path.name for path in (place / "models").glob("*") if path.is_dir())
    if models:
        learnt = f"what {len(models)} trained models have learnt from everybody together"
        words.append(f"{learnt}: train and promote again for one without them")
    if settings.train.tracking_uri:
        words.append(
            "the tracking server of train.tracking_uri: no id of a customer is ever sent there, "
            "names of event types, attributes and words of tickets may be"
        )
    policy = settings.retain
    for name in ("always", "do_not_contact", "capacities"):
        if person.kind == "customer" and person.who in getattr(policy, name):
            words.append(f"your own configuration: retain.{name} names them")
    if settings.deliver.copy_to:
        words.append("copies at deliver.copy_to, until `churn deliver` has made them anew")
    return [*words, "backups, and copies of the workspace elsewhere"]


def _unknown(place: Path, unknown: Sequence[Path]) -> list[str]:
    return [
        f"{path.relative_to(place)}: of a kind that cannot be searched here" for path in unknown
    ]


def _half_forgotten(place: Path, left: Sequence[Path]) -> MachineError:
    shown = ", ".join(str(path.relative_to(place)) for path in left[:5])
    rest = f" and {len(left) - 5} more" if len(left) > 5 else ""
    return MachineError(
        "something of them is left",
        got=f"{len(left)} files: {shown}{rest}",
        expected="nothing in any file of the workspace",
        next_step="run the same command again; if it stays, it is a fault of ours: report the names of "
        "these files, and delete none (what was fed back stands nowhere else)",
    )
