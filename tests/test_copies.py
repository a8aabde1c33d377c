"""Copies of revisions in object storage and elsewhere: whole lists, `CURRENT` last, what fails waits."""

from dataclasses import replace
from pathlib import Path

import objectstore
import pytest
from commandline import exit_code
from test_delivery import publish, status, written

from churn.errors import ConfigurationError, DeliveryError
from churn.io.sending import delivery, outbox
from churn.settings import DeliverSettings

BUCKET = "lists"
TO_S3 = DeliverSettings(copy_to=f"s3://{BUCKET}/churn", timeout_seconds=2)


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    with objectstore.started(tmp_path_factory.mktemp("moto"), bucket=BUCKET) as port:
        yield port


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in objectstore.KEYS.items():
        monkeypatch.setenv(name, value)


def at(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")


def local(place: Path, name: str) -> dict[str, bytes]:
    """A revision as a copy should hold it."""
    folder = place / "published" / name
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {f"{name}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in files}


def test_a_file_system_gets_whole_revisions(tmp_path: Path) -> None:
    place, there = tmp_path / "ws", tmp_path / "copy"
    deliver = DeliverSettings(copy_to=f"file://{there}")
    for as_of in ("2026-01-05", "2026-01-12"):
        publish(place, as_of=as_of)
        delivery.send(deliver, place=place)
    found = {
        p.relative_to(there).as_posix(): p.read_bytes() for p in there.rglob("*") if p.is_file()
    }
    whole = local(place, "2026-01-05/r1") | local(place, "2026-01-12/r1")
    assert found == whole | {"CURRENT": b"2026-01-12/r1\n"}
    (there / "CURRENT").unlink()
    delivery.send(deliver, place=place)
    assert not (there / "CURRENT").exists(), "what has arrived is not sent again"
    other = replace(deliver, copy_to=f"file://{tmp_path / 'other'}")
    delivery.send(other, place=place)
    assert (tmp_path / "other" / "CURRENT").read_text() == "2026-01-12/r1\n"


def test_object_storage_gets_whole_revisions(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(port, monkeypatch)
    publish(tmp_path)
    delivery.send(TO_S3, place=tmp_path)
    found = objectstore.objects(port, BUCKET)
    whole = {f"churn/{name}": data for name, data in local(tmp_path, "2026-01-05/r1").items()}
    assert found == whole | {"churn/CURRENT": b"2026-01-05/r1\n"}
    assert [one["is_delivered"] for one in status(tmp_path)["deliveries"]] == [True]
    assert "canary" not in written(tmp_path)
    assert f"{BUCKET}/churn" not in written(tmp_path)


def test_a_storage_that_is_down_silent_or_cut_gets_it_later(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver = replace(TO_S3, copy_to=f"s3://{BUCKET}/later")
    publish(tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "published/2026-01-05").rglob("*.*")}
    at(1, monkeypatch)
    with pytest.raises(DeliveryError, match="does not take the copy") as down:
        delivery.send(deliver, place=tmp_path)
    with objectstore.wired(port) as wire:
        at(wire.port, monkeypatch)
        wire.is_silent = True
        with pytest.raises(DeliveryError, match="does not take the copy") as silent:
            delivery.send(deliver, place=tmp_path)
    with objectstore.wired(port) as wire:
        at(wire.port, monkeypatch)
        wire.room = sum(map(len, before.values())) // 2
        with pytest.raises(DeliveryError, match="does not take the copy") as cut:
            delivery.send(deliver, place=tmp_path)
    for error in (down, silent, cut):
        assert error.value.exit_code == 6
        assert "canary" not in str(error.value)
    assert "later/CURRENT" not in objectstore.objects(port, BUCKET)
    assert len(outbox.waiting(tmp_path)) == 1
    assert status(tmp_path)["exit_code"] == 6
    assert {path: path.read_bytes() for path in before} == before
    at(port, monkeypatch)
    publish(tmp_path, as_of="2026-01-12")
    delivery.send(deliver, place=tmp_path)
    found = {
        name.removeprefix("later/"): data
        for name, data in objectstore.objects(port, BUCKET).items()
        if name.startswith("later/")
    }
    whole = local(tmp_path, "2026-01-05/r1") | local(tmp_path, "2026-01-12/r1")
    assert found == whole | {"CURRENT": b"2026-01-12/r1\n"}
    assert outbox.waiting(tmp_path) == []


def test_the_command_copies_what_waits(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"workspace={tmp_path}", f"deliver.copy_to=s3://{BUCKET}/command"]
    publish(tmp_path)
    at(1, monkeypatch)
    assert exit_code("deliver", *words, "deliver.timeout_seconds=1") == 6
    at(port, monkeypatch)
    assert exit_code("deliver", *words) == 0
    assert objectstore.objects(port, BUCKET)["command/CURRENT"] == b"2026-01-05/r1\n"


@pytest.mark.parametrize(
    "url",
    ["s3://canary:secret@bucket/x", "https://x/y?token=canary", "bucket/canary", "s3://canary x"],
)
def test_a_url_that_could_hold_a_secret_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        DeliverSettings(copy_to=url)
    assert "canary" not in str(refused.value)


def test_a_driver_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has no driver"):
        delivery.require(DeliverSettings(copy_to="nowhere://bucket"))
