"""A real S3 server (moto's) in a process of its own, and a wire to it that can be silent or cut."""

import os
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

OWN = Path(__file__).parents[1] / ".venv" / "moto" / "bin" / "moto_server"
"""Where `make test` puts it: moto needs an older python-dateutil than matplotlib does."""

KEYS = {
    "AWS_ACCESS_KEY_ID": "canary-user", "AWS_SECRET_ACCESS_KEY": "canary/secret",
    "AWS_EC2_METADATA_DISABLED": "true",
}  # fmt: skip


@contextmanager
def started(home: Path, *, bucket: str) -> Iterator[int]:
    """The port of a server that has an empty `bucket`."""
    program = os.environ.get("CHURN_MOTO") or (str(OWN) if OWN.exists() else None)
    if program is None:
        pytest.skip("no moto_server here (CHURN_MOTO names one)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (home / "moto.log").open("w") as log:
        server = subprocess.Popen([program, "-p", str(port)], stdout=log, stderr=log)
    try:
        _until_it_answers(port)
        made = urllib.request.Request(f"http://127.0.0.1:{port}/{bucket}", method="PUT")
        urllib.request.urlopen(made, timeout=10).close()
        yield port
    finally:
        server.terminate()
        server.wait(10)


def _until_it_answers(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
            return
        time.sleep(0.1)
    raise AssertionError("moto_server did not start")


class Wire:
    """A TCP relay to `port`. `room` bytes go to the server before the wire is cut; a wire that
    `is_silent` takes everything and passes nothing on."""

    def __init__(self, port: int) -> None:
        self.room: int | None = None
        self.is_silent = False
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                for ends in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._relay, args=ends, daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with source, target, suppress(OSError):
            while data := source.recv(65_536):
                while self.is_silent:
                    time.sleep(0.05)
                if counts and self.room is not None:
                    self.room -= len(data)
                    if self.room < 0:
                        for end in (source, target):
                            end.shutdown(socket.SHUT_RDWR)
                        return
                target.sendall(data)


@contextmanager
def wired(port: int) -> Iterator[Wire]:
    wire = Wire(port)
    try:
        yield wire
    finally:
        wire.is_silent = False
        wire.close()


def objects(port: int, bucket: str) -> dict[str, bytes]:
    """Everything in `bucket`, as the server has it."""
    from pyarrow import fs

    system = fs.S3FileSystem(endpoint_override=f"http://127.0.0.1:{port}", region="us-east-1")
    found = system.get_file_info(fs.FileSelector(bucket, recursive=True))
    files = [one.path for one in found if one.type == fs.FileType.File]
    return {path.removeprefix(f"{bucket}/"): system.open_input_file(path).read() for path in files}
