"""Stages in a process of their own, which may die without taking the job along.

LightGBM aborts the process on a text that its hash allows and that is still broken, and the kernel
kills whoever took too much memory. The job must survive both: it publishes, holds the lock and tells
people. So what opens a model runs in one other process (no data is shipped: stages meet in files),
started anew instead of forked, since engines and OpenMP leave threads behind that a fork breaks.

Both ends speak JSON lines over a socket. The child's log lines are handled by the parent as its own,
and its known errors are raised here as themselves. It cannot outlive the parent, whose lock it works
under: the kernel kills it with its parent (Linux), and the end of the socket stops it anywhere.
"""

import ctypes
import errno
import importlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TextIO, Union, get_args, get_origin, get_type_hints

from churn import errors
from churn.errors import ChurnError, HeldBackError, MachineError
from churn.io import bundle, progress
from churn.settings import Settings

log = logging.getLogger("churn")

CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from churn.io.weekly.apart import serve; serve(*sys.argv[2:])"
)
"""The child sees the packages that its parent sees, and nothing of the folder it was started in."""

FROM_OUTSIDE = {"SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGXCPU", "SIGXFSZ"}
"""Signals that come from a person, a supervisor or a limit, and say nothing about the model."""

PR_SET_PDEATHSIG = 1


class Worker:
    """The other process, as the one that started it sees it."""

    def __init__(self, process: subprocess.Popen[bytes], end: socket.socket, lines: TextIO) -> None:
        self._process, self._end, self._lines = process, end, lines

    def run(self, stage: str, settings: Settings) -> None:
        """Run module `stage` (such as churn.stages.score) there, with its log lines coming out here.

        Raises what the stage raised. When the process died: `HeldBackError` if by a fault of its own
        (a person must look at the model), `MachineError` if it was killed.
        """
        try:
            _say(self._end, {"stage": stage, "settings": asdict(settings)})
            for line in self._lines:
                message = json.loads(line)
                if "record" in message:
                    log.handle(logging.makeLogRecord(message["record"]))
                    _say(self._end, {})
                elif "error" in message:
                    raise _raised(message["error"])
                else:
                    return
        except ConnectionError:
            pass  # as when the lines end: it is gone
        raise _died(self._process.wait(), stage, settings)


@contextmanager
def started(*stages: str) -> Iterator[Worker]:
    """A worker that loads the modules `stages` while the caller goes on; killed afterwards."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        descriptor = theirs.fileno()
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [
                *(sys.executable, "-P", *(f"-W{option}" for option in sys.warnoptions)),
                *("-c", CHILD, json.dumps(sys.path), str(descriptor), str(os.getpid()), *stages),
            ],
            pass_fds=[descriptor],
        )
        theirs.close()
        try:
            with ours.makefile("r") as lines:
                yield Worker(process, ours, lines)
        finally:
            process.kill()
            process.wait()


def serve(descriptor: str, parent: str, *stages: str) -> None:
    """What the other process does: import `stages`, then run what it is asked to, until it is alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the parent decides
    _die_with(int(parent))
    wire = _Wire(socket.socket(fileno=int(descriptor)))
    log.handlers, log.propagate = [_Sender(wire)], False
    log.setLevel(logging.INFO)
    for stage in stages:
        importlib.import_module(stage)
    while True:
        asked = wire.heard()
        wire.say(_answer(asked["stage"], built(Settings, asked["settings"])))


def _answer(stage: str, settings: Settings) -> dict[str, Any]:
    """Run the stage; what there is to say of it."""
    if settings.log == "json":
        logging.captureWarnings(True)
        logging.getLogger("py.warnings").handlers = log.handlers
    try:
        with progress.timed(stage.rpartition(".")[2]):
            importlib.import_module(stage).run(settings)
    except ChurnError as error:
        parts = [error.what, error.got, error.expected, error.next_step]
        if settings.debug:
            traceback.print_exc()
        return {"error": {"kind": type(error).__name__, "parts": parts}}
    except OSError as error:
        name = None if error.filename is None else str(error.filename)
        number = errno.EIO if error.errno is None else error.errno
        return {"error": {"kind": "OSError", "parts": [number, error.strerror or str(error), name]}}
    except MemoryError:
        return {"error": {"kind": "MemoryError", "parts": []}}
    except Exception:  # noqa: BLE001 - a bug: the job shows it as one of its own
        return {"error": {"kind": "Exception", "parts": [traceback.format_exc()]}}
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return {}


def _raised(said: Mapping[str, Any]) -> BaseException:
    """The error of the other process, made again."""
    kind, parts = said["kind"], said["parts"]
    if kind == "OSError":
        return OSError(*parts)
    if kind == "MemoryError":
        return MemoryError()
    if kind == "Exception":
        return RuntimeError(f"in the process that opens models:\n{parts[0]}")
    what, got, expected, next_step = parts
    made: ChurnError = getattr(errors, kind)(what, got=got, expected=expected, next_step=next_step)
    return made


def _died(code: int, stage: str, settings: Settings) -> ChurnError:
    """What a process that ended without an answer means for the job."""
    name, entry = stage.rpartition(".")[2], bundle.pointer(settings.place, "champion")
    version = entry["version"] if entry else "none"
    by = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    got = f"{by} in `{name}`, with model {version}"
    if by == "SIGKILL":
        return MachineError(
            "the process that opens the model was killed, most likely because memory ran out",
            got=got,
            expected="enough memory for scoring",
            next_step="`journalctl -k` says whether it was the kernel; give it more memory, or lower "
            "engine.memory_limit, and run again",
        )
    if by in FROM_OUTSIDE:
        return MachineError(
            "the process that opens the model was stopped from outside",
            got=got,
            expected="to be left alone until the list is made",
            next_step="find out who stopped it, or which limit did (`ulimit -a`), and run again",
        )
    return HeldBackError(
        "the process that opens the model died",
        got=got,
        expected="a model that can be read and asked",
        next_step="return to the previous champion with `churn promote promote.back=true`, or run "
        "`churn train` and `churn promote`, and then run again",
    )


def _say(end: socket.socket, message: Mapping[str, Any]) -> None:
    end.sendall(json.dumps(message).encode() + b"\n")


class _Wire:
    """The child's end of the socket. A thread listens all the time: when there is nobody any more at
    the other end, nobody holds the lock that this process works under, and it must stop at once."""

    def __init__(self, end: socket.socket) -> None:
        self._end, self._lines = end, end.makefile("r")
        self._heard: list[dict[str, Any]] = []
        self._there = threading.Semaphore(0)
        threading.Thread(target=self._listen, daemon=True).start()

    def say(self, message: Mapping[str, Any]) -> None:
        _say(self._end, message)

    def heard(self) -> dict[str, Any]:
        self._there.acquire()
        return self._heard.pop(0)

    def _listen(self) -> None:
        try:
            for line in self._lines:
                self._heard.append(json.loads(line))
                self._there.release()
        finally:
            os._exit(0)


class _Sender(logging.Handler):
    """Log lines for the parent, each waited for: so none is lost or comes late, and none is written
    over a bar that this process shows."""

    def __init__(self, wire: _Wire) -> None:
        super().__init__()
        self._wire = wire

    def emit(self, record: logging.LogRecord) -> None:
        said = {"name": record.name, "levelno": record.levelno, "levelname": record.levelname}
        with progress.above_bars():
            self._wire.say({"record": {**said, "msg": record.getMessage()}})
            self._wire.heard()


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process with `parent` (with the thread that started it, which is
    the one that waits for it); where it cannot, `_Wire` does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the kernel was asked
            os._exit(0)


def built(kind: Any, value: Any) -> Any:
    """`value`, made by `asdict` and JSON, as the dataclass `kind` that it was."""
    if isinstance(kind, type) and is_dataclass(kind):
        types = get_type_hints(kind)
        return kind(**{f.name: built(types[f.name], value[f.name]) for f in fields(kind)})
    origin, inner = get_origin(kind), get_args(kind)
    if value is None or not inner:
        return value
    if origin in (Union, UnionType):
        (present,) = [one for one in inner if one is not NoneType]
        return built(present, value)
    if isinstance(value, dict):
        return {name: built(inner[1], one) for name, one in value.items()}
    if isinstance(value, list):
        return origin(built(inner[0], one) for one in value)
    return value
