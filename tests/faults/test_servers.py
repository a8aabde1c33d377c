"""A server that is down, silent, or leaves in the middle: the list comes out, the rest is sent later."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from mailserver import started
from weeks import SECOND, Prepared, Trial

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

GREETING = b"220 here\r\n"
CUTS = {
    "closed at once": [],
    "greeted and left": [GREETING],
    "left in the middle of a mail": [
        GREETING, b"250 hello\r\n", b"250 from\r\n", b"250 to\r\n", b"354 go on\r\n", None,
    ],
    "silent": None,
    "greeted and silent": [GREETING, "wait"],
}  # fmt: skip


@contextmanager
def server(answers: list | None) -> Iterator[int]:
    """A port whose server gives `answers`, one to each message, and leaves (None: in the middle of
    one); or says nothing at all."""
    listening = socket.create_server(("127.0.0.1", 0))
    is_over = threading.Event()

    def serve() -> None:
        while not is_over.is_set():
            with contextlib.suppress(OSError):
                talk, _ = listening.accept()
                with talk:
                    for answer in answers if answers is not None else ["wait"]:
                        if answer == "wait":
                            is_over.wait(60)
                        elif answer is None:
                            talk.recv(100)
                        else:
                            talk.sendall(answer)
                            if answer != answers[-1]:
                                talk.recv(4096)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        is_over.set()
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(timeout=5)


def mail(port: int) -> dict[str, object]:
    return {
        "deliver__host": "127.0.0.1",
        "deliver__port": port,
        "deliver__security": "none",
        "deliver__head": "head@example.com",
        "deliver__timeout_seconds": 2,
    }


@pytest.fixture
def trial(ready: Prepared) -> Trial:
    return ready.trial("served")


@pytest.mark.parametrize("how", CUTS)
def test_a_mail_server_that_fails(ready: Prepared, trial: Trial, how: str, tmp_path) -> None:
    with server(CUTS[how]) as port:
        ended = trial.run(**mail(port)).expected(6)
    assert "digest.eml" in ended.said
    assert "`churn deliver` tries again" in ended.said
    assert trial.everything() == ready.bytes
    assert trial.current == f"{SECOND}/r1"
    with started(tmp_path) as box:
        trial.run("deliver", **mail(box.port)).expected(0)
        trial.run("deliver", **mail(box.port)).expected(0)
    assert [address for address, _ in box.mails] == ["head@example.com"]


@pytest.mark.parametrize("how", ["closed at once", "silent"])
def test_a_database_that_fails(ready: Prepared, trial: Trial, how: str) -> None:
    with server(CUTS[how]) as port:
        url = f"postgresql+psycopg://churn:canary@127.0.0.1:{port}/x?connect_timeout=2"
        ended = trial.run(sink__name="sql", env={"CHURN_SQL_URL": url}).expected(6)
    assert "canary" not in ended.said
    assert trial.everything() == ready.bytes


def test_a_tracking_server_that_is_down(ready: Prepared, trial: Trial) -> None:
    trial.run(train__tracking_uri="http://127.0.0.1:9").expected(0, 6)
    assert trial.everything() == ready.bytes
