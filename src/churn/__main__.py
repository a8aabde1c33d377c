"""`churn COMMAND [key=value ...]`: compose → typed settings → stage or flow → exit code."""

import importlib
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from churn.errors import ChurnError, ConfigurationError, nearest

COMMANDS = {
    "simulate": "writes the demo product's usage logs",
    "check": "reports what is in a log and changes nothing",
    "rollup": "takes in what the source holds now, updates the daily roll-up",
    "features": "builds the panel for training and for `as_of`",
    "train": "baselines and models, calibration, MLflow run, registers a challenger",
    "promote": "moves the champion to the challenger, or says why not",
    "score": "calibrated risk of every active customer",
    "explain": "reasons for who is listed (or customer=ID) and global importance",
    "retain": "the retention list",
    "config": "writes the resolved configuration that `dvc repro` depends on",
    "run": "the whole path once, from logs to a list",
    "weekly": "the production job: new logs, champion, published list",
    "replay": "from= to=: past weeks as if live",
    "status": "exits 0 while the current list is fresh, 4 when it is too old",
    "completion": "prints a completion script for bash or zsh",
}
FLOWS = ("run", "weekly", "replay")
RENAMED = {"from": "from_date", "to": "to_date"}
"""`from` is a word of Python's own, so the settings keep it under another name."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with the contract's exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.exit(_run(words))
    except ChurnError as error:
        if "debug=true" in words:
            raise
        logging.getLogger("churn").error("%s", error)
        sys.exit(error.exit_code)
    except MemoryError:
        sys.exit("the machine has no memory left: give it more, or lower engine.memory_limit")
    except OSError as error:
        if "debug=true" in words:
            raise
        logging.getLogger("churn").error("the machine failed: %s", error)
        sys.exit(1)


def _run(words: list[str]) -> int:
    _log_plainly()
    if not words or words[0] in ("--help", "-h", "help"):
        sys.stdout.write(_help())
        return 0
    command, rest = words[0], words[1:]
    if command not in COMMANDS:
        raise ConfigurationError(
            "there is no such command",
            got=command,
            expected=nearest(command, list(COMMANDS)),
            next_step="`churn --help` lists the commands",
        )
    if command == "completion":
        sys.stdout.write(_completion())
        return 0
    return _compose_and_run(command, rest)


def _compose_and_run(command: str, rest: list[str]) -> int:
    os.environ["HYDRA_FULL_ERROR"] = "1"
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import hydra
    from omegaconf import DictConfig, OmegaConf

    from churn.settings import CONF, Settings, register

    register()
    params, words = _params(rest)

    failures: list[BaseException] = []

    def job(configuration: DictConfig) -> None:
        """One job; a failure is kept and raised outside, since Hydra would print it its own way."""
        if not failures:
            try:
                work(configuration)
            except BaseException as error:  # noqa: BLE001 - raised again below, whatever it is
                failures.append(error)

    def work(configuration: DictConfig) -> None:
        composed = OmegaConf.load(params) if params else configuration
        settings = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Settings), composed))
        assert isinstance(settings, Settings)
        _entry(command)(settings)

    overrides = [_text_kept(word) for word in words]
    sys.argv = [f"churn {command}", *overrides]
    wrapped = hydra.main(version_base="1.3", config_path=str(CONF), config_name=command)(job)
    with _refusals_in_our_words(words):
        wrapped()
        if failures:
            raise failures[0]
    return 0


def _params(words: list[str]) -> tuple[str | None, list[str]]:
    """`params=FILE` replaces composition, and then nothing else may be said."""
    chosen = [word.partition("=")[2] for word in words if word.startswith("params=")]
    others = [word for word in words if not word.startswith("params=")]
    if chosen and [word for word in others if not word.startswith("-")]:
        raise ConfigurationError(
            "params= replaces the whole configuration",
            got=" ".join(others),
            expected="params=FILE alone",
            next_step="give the overrides to `churn config`, which writes the file",
        )
    if chosen and not os.path.isfile(chosen[0]):
        raise ConfigurationError(
            "params= names a file that is not there",
            got=chosen[0],
            expected="what `churn config` wrote",
            next_step="run `churn config` first",
        )
    return (chosen[0] if chosen else None), others


def _entry(command: str) -> Callable[[Any], None]:
    """The stage or flow of a command, imported only now: `churn --help` stays fast."""
    if command in FLOWS:
        return getattr(importlib.import_module("churn.flows"), command)
    return importlib.import_module(f"churn.stages.{command}").run


class _refusals_in_our_words:  # noqa: N801 - reads as a word in `with`
    """Hydra's and OmegaConf's refusals as `ConfigurationError`, with the nearest valid key."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException

        if isinstance(error, ChurnError) or error is None:
            return
        cause = error
        while cause.__cause__ is not None and not isinstance(cause, ChurnError):
            cause = cause.__cause__
        if isinstance(cause, ChurnError):
            raise cause from None
        if isinstance(error, HydraException | OmegaConfBaseException):
            raise _refusal(str(error), self.words) from None


def _refusal(message: str, words: Sequence[str]) -> ConfigurationError:
    from churn.settings import keys, nearest_key

    first = message.splitlines()[0]
    unknown = re.search(r"Could not override '([^']+)'|Key '([^']+)' (?:not in|is not in struct)", message)
    if unknown:
        full = re.search(r"full_key: (\S+)", message)
        name = unknown.group(1) or (full.group(1) if full else unknown.group(2))
        return ConfigurationError(
            f"there is no configuration key {name}", got=name, expected=nearest_key(name),
            next_step="`churn COMMAND --cfg job` prints every key with its value",
        )  # fmt: skip
    group = re.search(r"Could not find '([^']+)'", message)
    if group:
        options = re.findall(r"^\t(\S+)$", message, re.MULTILINE)
        return ConfigurationError(
            "a configuration group has no such choice", got=group.group(1),
            expected=f"one of: {', '.join(options)}" if options else "a file in conf/",
            next_step="choose one of these, or add a file to that folder of conf/",
        )  # fmt: skip
    full = re.search(r"full_key: (\S+)", message)
    key = full.group(1) if full else "the configuration"
    kind = keys().get(key)
    expected = f"a value of type {getattr(kind, '__name__', kind)}" if kind else "key=value words"
    said = next((word for word in words if word.startswith(f"{key}=")), first)
    return ConfigurationError(
        f"{key} cannot be understood", got=f"{said} ({first})", expected=expected,
        next_step="`churn COMMAND --cfg job` prints every key with its value",
    )  # fmt: skip


def _text_kept(word: str) -> str:
    """An override whose key holds text, quoted so that `customer=007` and `1e5` stay text.

    Sweeps (`--multirun` with commas), lists, references and quoted values are left alone.
    """
    from churn.settings import keys

    name, separator, value = word.partition("=")
    name = RENAMED.get(name, name)
    if not separator or word.startswith("-") or keys().get(name) not in (str, str | None):
        return f"{name}{separator}{value}" if separator else word
    if value in ("", "null") or value[0] in "\"'[{$" or ("," in value and "--multirun" in sys.argv):
        return f"{name}={value}"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{name}='{escaped}'"


def _log_plainly() -> None:
    """Log lines of time-free text on the error stream; results and messages only."""
    logger = logging.getLogger("churn")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _help() -> str:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return (
        "churn: from usage logs to a short list of customers worth contacting\n\n"
        f"usage: churn COMMAND [key=value ...]\n\n{listed}\n\n"
        "Everywhere: workspace=DIR (default data), as_of=YYYY-MM-DD, source=demo|files|complete_journey,\n"
        "churn=inactivity|cancellation, --cfg job (prints the configuration), --multirun, debug=true\n"
    )


def _completion() -> str:
    from churn.settings import keys

    words = " ".join([*COMMANDS, *(f"{name}=" for name in keys())])
    return (
        "# source <(churn completion)\n"
        "[ -n \"$ZSH_VERSION\" ] && autoload -U +X bashcompinit && bashcompinit\n"
        f"complete -o nospace -W '{words}' churn\n"
    )


if __name__ == "__main__":
    main()
