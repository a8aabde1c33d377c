"""The list reaches the people it is for: once each, by a real server, and what fails waits."""

import logging
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import mailserver
import pytest
from commandline import composed, exit_code
from handouts import OWNERS, sample
from mailserver import PASSWORD, USER

from churn.errors import ChurnError, ConfigurationError, DeliveryError, HeldBackError
from churn.io import tables
from churn.io.documents import people
from churn.io.sending import delivery, outbox, smtp, standing
from churn.settings import DeliverSettings

DELIVER = DeliverSettings(
    host="127.0.0.1",
    security="none",
    sender="churn@example.com",
    head="head@example.com",
    owners={OWNERS[0]: "anna@example.com", OWNERS[2]: "priya@example.com"},
    timeout_seconds=5,
)


def publish(place: Path, *, as_of: str = "2026-01-05") -> None:
    """A published list, as `churn weekly` leaves it."""
    folder = place / "published" / as_of / "r1"
    folder.mkdir(parents=True)
    listing = sample()
    people.write(replace(listing, title=f"{listing.title}, {as_of}"), folder)
    tables.write_json(folder / "manifest.json", {"as_of": as_of, "counts": {"listed": 60}})
    tables.write_bytes(place / "published" / "CURRENT", f"{as_of}/r1\n".encode())
    status = {"current": f"{as_of}/r1", "exit_code": 0, "deliveries": []}
    tables.write_json(place / "published" / "status.json", status)


def status(place: Path) -> dict[str, Any]:
    return dict(tables.read_json(place / "published" / "status.json"))


def written(place: Path) -> str:
    """Every byte outside the published revision, where nothing secret may stand."""
    found = [path for path in place.rglob("*") if path.is_file()]
    return "\n".join(path.read_bytes().decode(errors="replace") for path in found)


def test_each_mail_arrives_once_where_it_belongs(tmp_path: Path) -> None:
    publish(tmp_path)
    with mailserver.started(tmp_path) as box:
        deliver = replace(DELIVER, port=box.port)
        delivery.send(deliver, place=tmp_path)
        delivery.send(deliver, place=tmp_path)
    assert sorted(to for to, _ in box.mails) == [
        "anna@example.com",
        "head@example.com",
        "priya@example.com",
    ]
    mail = dict(box.mails)["anna@example.com"]
    assert (mail["From"], mail["To"]) == ("churn@example.com", "anna@example.com")
    assert "@example.com" not in written(tmp_path)
    assert mail["Subject"].endswith(f"customers for {OWNERS[0]}")
    assert mail.get_body(("plain",)).get_content().startswith("Retention list")
    assert mail.get_body(("html",)).get_content().startswith("<!doctype html>")
    assert status(tmp_path)["exit_code"] == 0
    told = status(tmp_path)["deliveries"]
    assert [one["is_delivered"] for one in told] == [True] * 3
    assert told[0] == {
        "revision": "2026-01-05/r1", "kind": "mail", "name": "digest.eml", "is_delivered": True,
        "reason": None,
    }  # fmt: skip


def test_the_same_mail_has_the_same_id(tmp_path: Path) -> None:
    publish(tmp_path)
    content = (tmp_path / "published/2026-01-05/r1/digest.eml").read_text()
    to_head = {"sender": "churn@example.com", "recipient": "head@example.com"}
    one = smtp.addressed(content, **to_head)["Message-ID"]
    assert one == smtp.addressed(content, **to_head)["Message-ID"]
    others = [
        smtp.addressed(content.replace("60", "61"), **to_head),
        smtp.addressed(content, **to_head | {"recipient": "other@example.com"}),
    ]
    assert one not in [mail["Message-ID"] for mail in others]
    assert one.endswith("@example.com>")


@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_encrypted_and_logged_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, security: str
) -> None:
    publish(tmp_path)
    monkeypatch.setenv("CHURN_SMTP_USER", USER)
    monkeypatch.setenv("CHURN_SMTP_PASSWORD", PASSWORD)
    with mailserver.started(tmp_path, security=security, has_login=True) as box:
        deliver = replace(DELIVER, port=box.port, security=security)
        with pytest.raises(DeliveryError, match="was not delivered") as refused:
            delivery.send(deliver, place=tmp_path)
        assert "CERTIFICATE_VERIFY_FAILED" in refused.value.got
        assert box.mails == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        delivery.send(deliver, place=tmp_path)
    assert (len(box.mails), box.n_logins) == (3, 1)


def test_a_wrong_password_is_told_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path)
    wrong = "canary-of-a-password"
    monkeypatch.setenv("CHURN_SMTP_USER", USER)
    monkeypatch.setenv("CHURN_SMTP_PASSWORD", wrong)
    with mailserver.started(tmp_path, security="starttls", has_login=True) as box:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        with caplog.at_level(logging.DEBUG), pytest.raises(DeliveryError) as refused:
            delivery.send(replace(DELIVER, port=box.port, security="starttls"), place=tmp_path)
    assert refused.value.got.startswith("535")
    assert "CHURN_SMTP_PASSWORD" in refused.value.next_step
    assert wrong not in f"{refused.value} {caplog.text} {written(tmp_path)}"


def test_what_fails_waits_and_goes_out_with_the_next_list(tmp_path: Path) -> None:
    publish(tmp_path)
    with mailserver.started(tmp_path) as box:
        box.refused.add("priya@example.com")
        deliver = replace(DELIVER, port=box.port)
        with pytest.raises(DeliveryError, match="priya-raman") as refused:
            delivery.send(deliver, place=tmp_path)
        assert refused.value.got == "550 no such user"
        assert len(box.mails) == 2
        assert status(tmp_path)["exit_code"] == 6
        waiting = [one for one in status(tmp_path)["deliveries"] if not one["is_delivered"]]
        assert [one["name"][:19] for one in waiting] == ["digests/priya-raman"]
        box.refused.clear()
        publish(tmp_path, as_of="2026-01-12")
        delivery.send(deliver, place=tmp_path)
    assert [to for to, _ in box.mails].count("priya@example.com") == 2
    assert len(box.mails) == 6
    assert status(tmp_path)["exit_code"] == 0


def test_a_server_that_is_down_changes_nothing_but_the_outbox(tmp_path: Path) -> None:
    publish(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.glob("published/2*/r1/**/*.*")}
    failures = delivery.unsent(replace(DELIVER, port=1), place=tmp_path)
    assert [error.exit_code for error in failures] == [6, 6, 6]
    assert {path: path.read_bytes() for path in tmp_path.glob("published/2*/r1/**/*.*")} == before
    assert len(list((tmp_path / "outbox" / "waiting").iterdir())) == 3


def test_owners_without_an_address_and_no_server_send_nothing(tmp_path: Path) -> None:
    publish(tmp_path)
    assert delivery.unsent(DeliverSettings(), place=tmp_path) == []
    with mailserver.started(tmp_path) as box:
        bare = DeliverSettings(host="127.0.0.1", port=box.port, security="none")
        assert delivery.unsent(bare, place=tmp_path) == []
    assert box.mails == []


def test_a_service_is_told_how_many_and_never_who(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("apprise")
    publish(tmp_path)
    deliver = DeliverSettings(notify=["CHURN_NOTIFY_URL"])
    with mailserver.service() as (port, came):
        monkeypatch.setenv("CHURN_NOTIFY_URL", f"json://user:canary-secret@127.0.0.1:{port}/hook")
        delivery.send(deliver, place=tmp_path)
        delivery.send(deliver, place=tmp_path)
    assert [one["message"] for one in came] == [
        "The retention list of 5 Jan 2026 is out: 60 customers to contact."
    ]
    assert came[0]["title"] == "Retention list"
    assert "canary-secret" not in written(tmp_path)


def test_a_service_that_refuses_is_told_without_its_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("apprise")
    publish(tmp_path)
    with mailserver.service(status=500) as (port, came):
        monkeypatch.setenv("CHURN_NOTIFY_URL", f"json://user:canary-secret@127.0.0.1:{port}/hook")
        with pytest.raises(DeliveryError) as refused:
            delivery.send(DeliverSettings(notify=["CHURN_NOTIFY_URL"]), place=tmp_path)
    assert len(came) >= 1
    said = capfd.readouterr()
    assert "canary" not in f"{refused.value} {said.out} {said.err} {written(tmp_path)}"
    assert "canary" not in str(refused.value.__context__)


@pytest.mark.parametrize(
    ("settings", "environment", "words"),
    [
        ({"host": "mail.example.com"}, {"CHURN_SMTP_USER": "x"}, "belong together"),
        (
            {"host": "mail.example.com", "security": "none"},
            {"CHURN_SMTP_USER": "x", "CHURN_SMTP_PASSWORD": "canary"},
            "readable over the network",
        ),
        ({"notify": ["CHURN_NOTIFY_URL"]}, {"CHURN_NOTIFY_URL": "canary"}, "no Apprise URL"),
        ({"notify": ["CHURN_NOTIFY_URL"]}, {}, "no Apprise URL"),
    ],
)
def test_settings_that_could_deliver_nothing_are_refused_first(
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    environment: dict[str, str],
    words: str,
) -> None:
    if "notify" in settings:
        pytest.importorskip("apprise")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=words) as refused:
        delivery.require(DeliverSettings(**settings))
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"security": "tls"},
        {"port": 0},
        {"head": "a@b\r\nBcc: c@d"},
        {"owners": {"Anna": "nobody"}},
        {"notify": ["slack://canary"]},
        {"sender": ""},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ChurnError) as refused:
        DeliverSettings(**settings)
    assert "canary" not in str(refused.value)


def test_addresses_come_from_the_configuration() -> None:
    settings = composed("deliver.owners={Anna Lindqvist: a@b.example}", command="deliver")
    assert settings.deliver.owners == {"Anna Lindqvist": "a@b.example"}


def test_the_command_sends_what_waits_and_says_what_is_missing(tmp_path: Path) -> None:
    where = f"workspace={tmp_path / 'ws'}"
    assert exit_code("deliver", where) == 2
    assert exit_code("deliver", where, "deliver.host=127.0.0.1") == 4
    publish(tmp_path / "ws")
    down = [
        "deliver.host=127.0.0.1",
        "deliver.port=1",
        "deliver.security=none",
        "deliver.head=head@example.com",
    ]
    assert exit_code("deliver", where, *down) == 6
    assert exit_code("deliver", where, *down[:3]) == 0, "what waits has nobody to go to"
    with mailserver.started(tmp_path) as box:
        up = [
            f"deliver.port={box.port}" if word.startswith("deliver.port") else word for word in down
        ]
        assert exit_code("deliver", where, *up) == 0
    assert [to for to, _ in box.mails] == ["head@example.com"]


def test_an_older_week_published_again_does_not_end_the_wait_for_the_newest(tmp_path: Path) -> None:
    publish(tmp_path)
    published, last_day = tmp_path / "published", date(2026, 1, 18)
    held = HeldBackError("gate volume", got="0.1", expected="0.5 to 1.8", next_step="look")
    standing.stale(published, held, as_of="2026-01-19")
    other = HeldBackError("gate hours", got="1", expected="2", next_step="look")
    standing.stale(published, other, as_of="2026-01-12")
    standing.fresh(published, as_of=date(2026, 1, 12), last_day=last_day)
    told = status(tmp_path)
    assert (told["is_stale"], told["exit_code"], told["awaited"]) == (True, 4, "2026-01-19")
    assert told["refused"]["what"] == "gate hours"
    assert "STALE" in (published / "index.html").read_text()
    standing.fresh(published, as_of=date(2026, 1, 19), last_day=last_day)
    told = status(tmp_path)
    assert (told["is_stale"], told["refused"], told["awaited"]) == (False, None, None)
    standing.stale(published, held, as_of="2027-01-19")
    standing.fresh(published, as_of=date(2026, 1, 19), last_day=last_day)
    assert not status(tmp_path)["is_stale"], "a year was mistyped: nobody waits for that list"


def test_that_no_list_came_out_waits_until_it_is_told_or_one_comes_out(tmp_path: Path) -> None:
    """`churn deliver` after a run that was held back: the list is as stale as before."""
    publish(tmp_path)
    published = tmp_path / "published"
    held = HeldBackError("gate volume", got="0.1", expected="0.5 to 1.8", next_step="look")
    standing.stale(published, held)
    down = replace(DELIVER, port=1)
    delivery.alert(down, place=tmp_path)
    assert delivery.unsent(down, place=tmp_path)
    assert "stale.eml" in [message.name for message in outbox.waiting(tmp_path)]
    assert (status(tmp_path)["exit_code"], status(tmp_path)["is_stale"]) == (4, True)
    with mailserver.started(tmp_path) as box:
        delivery.send(replace(DELIVER, port=box.port), place=tmp_path)
        assert "No new retention list: gate volume" in [mail["Subject"] for _, mail in box.mails]
    assert status(tmp_path)["exit_code"] == 4
    standing.stale(published, HeldBackError("another", got="1", expected="2", next_step="look"))
    delivery.alert(down, place=tmp_path)
    standing.fresh(published, as_of=date(2026, 1, 5), last_day=date(2026, 1, 5))
    delivery.unsent(down, place=tmp_path)
    assert "stale.eml" not in [message.name for message in outbox.waiting(tmp_path)]
    assert (status(tmp_path)["exit_code"], status(tmp_path)["is_stale"]) == (0, False)
