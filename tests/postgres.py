"""A real PostgreSQL, started for the tests that ask for the fixture `server` and thrown away."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

psycopg = pytest.importorskip("psycopg", reason="the extra sql is not installed")

PASSWORD = "canary/hunter2@:%"
IN_URL = "canary%2Fhunter2%40%3A%25"
BINARIES = [
    *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
    *[Path(found).parent for found in [shutil.which("initdb")] if found],
]


@dataclass
class Server:
    """A running cluster: `url` of its superuser, and the log of every statement."""

    port: int
    log: Path

    def url(self, database: str, *, password: str = IN_URL) -> str:
        return f"postgresql+psycopg://churn:{password}@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str, *, database: str = "postgres") -> None:
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="churn", password=PASSWORD, dbname=database,
            autocommit=True,
        ) as connection:  # fmt: skip
            connection.execute(statement)


@contextmanager
def started() -> Iterator[Server]:
    if not BINARIES:
        pytest.skip("there are no PostgreSQL server binaries")
    in_memory = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
    home = Path(tempfile.mkdtemp(prefix="churn-pg-", dir=in_memory))
    # PostgreSQL refuses to run as root, so it runs as whoever is there.
    other = pwd.getpwnam("postgres" if _has_user("postgres") else "nobody")
    who: dict[str, Any] = {"user": other.pw_uid, "group": other.pw_gid} if os.getuid() == 0 else {}
    if who:
        os.chown(home, other.pw_uid, other.pw_gid)
    (home / "password").write_text(PASSWORD)
    os.chmod(home / "password", 0o644)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    silent = {"cwd": home, "capture_output": True, "check": True, **who}
    subprocess.run(
        [BINARIES[0] / "initdb", "-D", home / "data", "-U", "churn", "-A", "scram-sha-256",
         "--pwfile", home / "password", "-E", "UTF8", "--locale", "C", "--no-sync"],
        **silent,
    )  # fmt: skip
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [BINARIES[0] / "postgres", "-D", home / "data", "-p", str(port), "-k", home,
             "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "log_statement=all",
             "-c", "max_connections=20", "-c", "shared_buffers=16MB"],
            cwd=home, stdout=log, stderr=log, **who,
        )  # fmt: skip
    found = Server(port, home / "log")
    try:
        _wait(found, process)
        yield found
    finally:
        process.send_signal(signal.SIGQUIT)  # nothing here is worth a checkpoint
        process.wait(20)
        shutil.rmtree(home, ignore_errors=True)


def _has_user(name: str) -> bool:
    return any(entry.pw_name == name for entry in pwd.getpwall())


def _wait(server: Server, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        try:
            return server.run("SELECT 1")
        except psycopg.OperationalError:
            assert process.poll() is None, server.log.read_text()
            time.sleep(0.05)
    raise AssertionError(server.log.read_text())
