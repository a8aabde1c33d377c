"""A small workspace whose weekly job can be killed, starved, raced and run again.

`prepared` makes it once: a champion, the list of `FIRST` published, the log up to that day. A
`Trial` is a copy of it to which the deliveries of a week more have come: `weekly` publishes `SECOND`.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from churn.io import revisions, tables

FIRST, SECOND, THIRD = "2025-10-20", "2025-10-27", "2025-11-03"
SIDES = ("customers", "subscriptions", "contacts")
SMALL = [
    "source.world.n_customers=300", "source.world.n_weeks=44", "features=standard_40",
    "train.lightgbm.n_rounds=20", "train.snapshots=6", "train.n_folds=2", "backtest.origins=1",
    "backtest.rebuild_rows=0", "engine.threads=1", "explain.min_lift=1",
]  # fmt: skip
ENVIRONMENT = {"CHURN_HOLDOUT_KEY": "a key of these tests", "OMP_NUM_THREADS": "1"}
DAYS_PER_FILE = 7


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (-9 when it was killed), and what it said."""

    code: int
    said: str

    def expected(self, *codes: int) -> "Ended":
        assert self.code in codes, f"exit {self.code}\n{self.said[-4000:]}"
        assert "Traceback" not in self.said, self.said[-4000:]
        return self


@dataclass
class Running:
    """A command that was started by `Forks`."""

    pid: int
    said: Path
    forks: "Forks"
    is_over: bool = False

    def go(self) -> None:
        """Let a process that waits to be watched begin."""
        Path(f"{self.said}.go").touch()

    def kill(self) -> None:
        os.kill(self.pid, 9)

    def end(self) -> Ended:
        code = self.forks.ask({"wait": self.pid})["code"]
        self.is_over = True
        return Ended(code, self.said.read_text(errors="replace"))


class Forks:
    """The process that starts commands (see `forks.py`)."""

    def __init__(self, scratch: Path) -> None:
        program = [sys.executable, str(Path(__file__).with_name("forks.py"))]
        self._process = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **ENVIRONMENT},
        )  # fmt: skip
        self._scratch, self._count = scratch, 0

    def ask(self, what: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def start(
        self,
        *words: str,
        env: dict[str, str] | None = None,
        limits: dict[str, int] | None = None,
        gates: dict[str, Any] | None = None,
        folder: Path | None = None,
    ) -> Running:
        self._count += 1
        said = self._scratch / f"said-{self._count}"
        said.touch()  # a process may be killed before it does
        start = {"words": words, "said": str(said), "env": env or {}, "limits": limits or {}}
        start |= {"gates": gates, "folder": str(folder or self._scratch)}
        start |= {"go": f"{said}.go"}
        pid = self.ask({"start": start})["pid"]
        return Running(pid, said, self)

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


@dataclass(frozen=True)
class Trial:
    """A folder with a workspace `ws`, its source (`log/`, side tables) and its words `params.yaml`."""

    folder: Path
    forks: Forks
    base: dict[str, Any] = field(repr=False)

    @property
    def place(self) -> Path:
        return self.folder / "ws"

    @property
    def published(self) -> Path:
        return self.place / "published"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def params(self, **changes: Any) -> Path:
        """The configuration of this workspace as a file; `deliver__host="…"` sets deliver.host."""
        content = json.loads(json.dumps(self.base))
        content["workspace"] = str(self.place)
        content["source"]["events"] = str(self.log / "*.parquet")
        for name in SIDES:
            content["source"][name] = str(self.folder / f"{name}.parquet")
        for key, value in {"as_of": SECOND, **changes}.items():
            *groups, name = key.split("__")
            inner = content
            for group in groups:
                inner = inner[group]
            inner[name] = value
        text = yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False)
        path = self.folder / f"params-{hashlib.sha256(text.encode()).hexdigest()[:12]}.yaml"
        if not path.exists():
            path.write_text(text)
        return path

    def start(self, command: str = "weekly", **changes: Any) -> Running:
        how = {key: changes.pop(key) for key in ("env", "limits", "gates") if key in changes}
        return self.forks.start(command, f"params={self.params(**changes)}", **how)

    def run(self, command: str = "weekly", **changes: Any) -> Ended:
        return self.start(command, **changes).end()

    def process(
        self, command: str = "weekly", *, before: tuple[str, ...] = (),
        env: dict[str, str] | None = None, python: tuple[str, ...] = (), **changes: Any,
    ) -> Ended:  # fmt: skip
        """`run` in a process that is started, for what is decided at its start."""
        program = [
            sys.executable,
            *python,
            "-m",
            "churn",
            command,
            f"params={self.params(**changes)}",
        ]
        done = subprocess.run(
            [*before, *program], capture_output=True, text=True, errors="replace", timeout=300,
            env={**os.environ, **ENVIRONMENT, **(env or {})},
        )  # fmt: skip
        return Ended(done.returncode, done.stderr)

    def revision(self, name: str) -> dict[str, bytes]:
        """Every file of a revision by its path below it, after its manifest was found to hold."""
        folder = self.published / name
        revisions.verify(folder)
        found = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}

    def everything(self) -> dict[str, dict[str, bytes]]:
        """Every revision there is."""
        return {name: self.revision(name) for name in revisions.names(self.published)}

    @property
    def current(self) -> str:
        return (self.published / "CURRENT").read_text().strip()

    def strays(self) -> list[str]:
        """Files and folders of a killed run that nobody knows by name."""
        found = self.place.rglob(".*")
        return [path.name for path in found if path.name not in (".lock", ".truth")]

    def copy(self, folder: Path) -> "Trial":
        shutil.copytree(self.folder, folder)
        return Trial(folder, self.forks, self.base)


@dataclass(frozen=True)
class Prepared:
    """The workspace before `SECOND`, and what an undisturbed run makes of it."""

    before: Trial
    scratch: Path

    def trial(self, name: str) -> Trial:
        """A copy of its own; removed before by a test of the same name."""
        folder = self.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        return self.before.copy(folder)

    @cached_property
    def _timed(self) -> tuple[Trial, float]:
        trial = self.trial("undisturbed")
        start = time.monotonic()
        trial.run().expected(0)
        return trial, time.monotonic() - start

    @property
    def undisturbed(self) -> Trial:
        return self._timed[0]

    @property
    def seconds(self) -> float:
        """How long an undisturbed run takes."""
        return self._timed[1]

    @cached_property
    def bytes(self) -> dict[str, dict[str, bytes]]:
        """Every revision as an undisturbed run leaves it."""
        return self.undisturbed.everything()

    @cached_property
    def gates(self) -> dict[str, Any]:
        """What the gates found in an undisturbed run, as it stands in the manifest."""
        return dict(revisions.verify(self.undisturbed.published / SECOND / "r1")["gates"])


def prepared(scratch: Path, forks: Forks) -> Prepared:
    """Simulate, train, publish `FIRST`, and let the deliveries of the week after arrive."""
    making = scratch / "making"
    made = ["simulate", f"workspace={making / 'ws'}", *SMALL]
    forks.start(*made).end().expected(0)
    demo = making / "ws" / "demo"
    words = [
        f"workspace={making / 'ws'}",
        *SMALL,
        "source=files",
        f"source.events={making}/log/*.parquet",
    ]
    words += [f"source.{name}={making}/{name}.parquet" for name in SIDES]
    (making / "log").mkdir()
    later = making / "later"
    later.mkdir()
    for path in sorted((demo / "events").glob("*.parquet")):
        is_later = pq.read_table(path, columns=["ts"])["ts"][0].as_py().date().isoformat() >= FIRST
        shutil.move(path, later if is_later else making / "log")
    for name in SIDES:
        shutil.move(demo / f"{name}.parquet", making / f"{name}.parquet")
    shutil.rmtree(demo)
    shutil.rmtree(making / "ws" / "truth")
    forks.start("config", *words, folder=making).end().expected(0)
    base = yaml.safe_load((making / "params.yaml").read_text())
    trial = Trial(making, forks, base)
    for command in ("rollup", "features", "train"):
        trial.run(command, as_of=FIRST).expected(0)
    shutil.copy(making / "ws" / "challenger.json", making / "ws" / "champion.json")
    trial.run(as_of=FIRST).expected(0)
    for name in ("mlflow", "panel", "plots", "metrics", "cards"):
        shutil.rmtree(making / "ws" / name, ignore_errors=True)
    for path in sorted(later.iterdir()):
        shutil.move(path, making / "log")
    later.rmdir()
    return Prepared(trial, scratch / "trials")


@contextmanager
def forking(scratch: Path) -> Iterator[Forks]:
    forks = Forks(scratch)
    try:
        yield forks
    finally:
        forks.close()


def sha256_of(path: Path) -> str:
    return tables.sha256(path)
