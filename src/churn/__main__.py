"""`churn COMMAND [key=value ...]`: compose → typed settings → stage or flow → exit code."""

import gc
import importlib
import locale
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn.cli import commands
from churn.conf_tree import CONF
from churn.errors import ChurnError, ConfigurationError, nearest
from churn.io.unseen import Formatter

if TYPE_CHECKING:
    from churn.cli.overrides import Words
    from churn.settings import Settings

log = logging.getLogger("churn")

JSON = "log=json"
DEBUG = ("debug=true", "debug=True", "debug=1", "debug=yes", "debug=on")
HELP = ("--help", "-h", "help")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with the contract's exit code."""
    if arguments is None:
        _in_utf8()
        gc.disable()  # until the command begins: nothing that imports make is garbage
    words = list(sys.argv[1:] if arguments is None else arguments)
    is_debugged = any(word in DEBUG for word in words)
    _keep_to_the_group()
    _log_to(logging.StreamHandler(), as_json=JSON in words)
    try:
        _run(words)
        sys.exit(0)
    except ChurnError as error:
        if is_debugged:
            raise
        log.error("%s", error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        log.error("stopped")
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (MemoryError, OSError) as error:
        if is_debugged:
            raise
        more = "more memory, or a lower engine.memory_limit"
        reason = f"{more} is needed" if isinstance(error, MemoryError) else error
        log.error("the machine failed: %s", reason)
        sys.exit(1)


def _in_utf8() -> None:
    """Begin again in Python's UTF-8 mode where the locale would decide how text files are written."""
    if not sys.flags.utf8_mode and locale.getencoding().upper() not in ("UTF-8", "UTF8"):
        words = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
        os.execv(sys.executable, words)  # noqa: S606 - the same program with the same words


def _run(words: list[str]) -> None:
    if not words or words[0] in HELP:
        sys.stdout.write(commands.overview())
        return
    if words[0] == "--version":
        sys.stdout.write(f"churn {version('churn')}\n")
        return
    command, rest = words[0], words[1:]
    if command not in commands.COMMANDS:
        raise ConfigurationError(
            "there is no such command",
            got=command,
            expected=nearest(command, list(commands.COMMANDS)),
            next_step="`churn --help` lists the commands",
        )
    if any(word in HELP for word in rest):
        sys.stdout.write(commands.help_of(command))
    elif command == "completion":
        sys.stdout.write(commands.completion())
    else:
        _configured(command, rest)


def _configured(command: str, rest: list[str]) -> None:
    """Run the command with the settings that its words and `conf/`, or a file, amount to."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from churn.cli import overrides
    from churn.cli.refusals import in_our_words
    from churn.io.progress import LogHandler
    from churn.settings import data_only, from_params

    _log_to(LogHandler(), as_json=JSON in rest)
    data_only.require_words(rest)
    words = overrides.read(rest)
    data_only.require_files(overrides.config_dirs(words.flags))
    with in_our_words(words.overrides):
        if words.params is not None:
            settings = from_params(_existing(words.params))
            settings.config.overrides = overrides.plain(settings.config.overrides)
            _entry(command)(settings)
            return
        if command == "config":
            words.overrides = overrides.recorded(words.overrides)
        _compose(command, words)


def _compose(command: str, words: "Words") -> None:
    """Let Hydra compose, once or for each job of a sweep, and run the command each time."""
    os.environ["HYDRA_FULL_ERROR"] = "1"
    import hydra
    from hydra.core.hydra_config import HydraConfig

    from churn.cli import overrides
    from churn.settings import register, to_settings

    register()
    failures: list[Exception] = []

    def job(composed: Any) -> None:
        """One job; its failure is raised outside, since Hydra would print it its own way."""
        if failures:
            return
        try:
            if words.is_sweep:
                log.info("== %s", " ".join(HydraConfig.get().overrides.task))
            settings, said = to_settings(composed), HydraConfig.get().overrides.task
            if command != "config":  # which has them for params.yaml, as Hydra takes them
                settings.config.overrides = overrides.plain(said)
            _entry(command)(settings)
        except Exception as error:  # noqa: BLE001 - raised again below, whatever it is
            failures.append(error)

    program, before = (
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=command),
        sys.argv,
    )
    with tempfile.TemporaryDirectory(prefix="churn-") as scratch:  # for Hydra's note of a sweep
        own = [f"hydra.sweep.dir={scratch}"] if words.is_sweep else []
        own += [] if words.flags else ["--run"]  # else Hydra composes twice to find that out
        sys.argv = [f"churn {command}", *words.flags, *words.overrides, *own]
        try:
            program(job)()
        finally:
            sys.argv = before
    if failures:
        raise failures[0]


def _existing(params: str) -> Path:
    path = Path(params)
    if not path.is_file():
        raise ConfigurationError(
            "params= names a file that is not there",
            got=params,
            expected="what `churn config` wrote",
            next_step="run `churn config` first",
        )
    return path


def _entry(command: str) -> Callable[["Settings"], None]:
    """The stage or flow of a command, imported only now: `churn --help` stays fast."""
    if command in commands.FLOWS:
        return _logged(command, getattr(importlib.import_module("churn.flows"), command))
    return _logged(command, _timed(command, importlib.import_module(f"churn.stages.{command}").run))


def _logged(command: str, run: Callable[["Settings"], None]) -> Callable[["Settings"], None]:
    """The same, with its lines written as the settings say: `log` may stand in conf/local.yaml."""
    from churn.io import journal

    def logged(settings: "Settings") -> None:
        journal.now.command, journal.now.as_of = command, settings.as_of
        if settings.log == "json":
            _log_to(log.handlers[0], as_json=True)
        is_in_others = gc.isenabled()  # called by a test or a notebook, whose process lives on
        # The collector need not look again and again at all that was imported. The engine is imported
        # later: what DuckDB is written with would say of its types that they leak.
        gc.freeze()
        gc.enable()
        try:
            run(settings)
        finally:
            if is_in_others:
                gc.unfreeze()

    return logged


def _timed(command: str, stage: Callable[["Settings"], None]) -> Callable[["Settings"], None]:
    """The stage, with a clock where a person watches (a flow does so for each of its stages)."""
    from churn.io.progress import timed

    def run(settings: "Settings") -> None:
        with timed(command):
            stage(settings)

    return run


def _keep_to_the_group() -> None:
    """Files 0640, folders 0750, whatever writes them: logs name customers. A stricter mask stays."""
    os.umask(os.umask(0o777) | 0o027)


def _log_to(handler: logging.Handler, *, as_json: bool) -> None:
    """Log lines on the error stream: time-free text, results and messages only; or JSON with all
    that a collector of logs asks for, warnings of libraries too."""
    handler.setFormatter(Formatter())
    if as_json:
        from churn.io.journal import JsonLines  # `churn --help` need not wait for it

        handler.setFormatter(JsonLines())
        logging.captureWarnings(True)
        logging.getLogger("py.warnings").handlers = [handler]
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
    logging.raiseExceptions = False  # a line that nobody can read any more is no reason to stop


if __name__ == "__main__":
    main()
