"""Stands by with everything imported and forks a process for each command it is told to run.

A process that is forked is as real as one that is started, and comes 2 seconds sooner. Requests and
answers are lines of JSON: {"start": …} → {"pid": N}, {"wait": N} → {"code": N}.
"""

import importlib
import json
import os
import resource
import sys
import time
import traceback
from contextlib import nullcontext
from typing import Any

MODULES = [
    "churn.flows", "churn.io.lab.model_card", "churn.io.lab.plots", "churn.cli.overrides", "churn.cli.refusals",
    "churn.learning.models", "hydra", "lightgbm", "matplotlib.pyplot", "shap", "scipy.stats",
]  # fmt: skip


def main() -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    for name in MODULES[:-2]:
        importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait" in asked:
            _, status = os.waitpid(asked["wait"], 0)
            answer = {"code": os.waitstatus_to_exitcode(status)}
        else:
            answer = {"pid": _started(asked["start"])}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _started(asked: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = _run(asked)
    except BaseException:  # noqa: BLE001 - the child of a fork must not go on as its parent
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


def _run(asked: dict[str, Any]) -> int:
    from churn.__main__ import main as command

    said = os.open(asked["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    os.environ.update(asked["env"])
    os.chdir(asked["folder"])
    for name, value in asked["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    if asked["gates"] is not None:
        _leave_stages_out(asked["gates"], asked["go"])
    try:
        command(asked["words"])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _leave_stages_out(gates: dict[str, Any], go: str) -> None:
    """Weekly with everything made before and `gates` passed, which waits for file `go` to be there, so
    that somebody can watch what publishing does."""
    from churn import flows
    from churn.io.weekly import apart

    flows._step = lambda *_: None
    flows._publish_week = lambda settings, as_of, _: flows._publish(settings, as_of, gates=gates)
    apart.started = lambda *_: nullcontext()  # no stage is left for it
    while not os.path.exists(go):
        time.sleep(0.002)


if __name__ == "__main__":
    main()
