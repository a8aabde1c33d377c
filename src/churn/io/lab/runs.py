"""Runs that were judged, kept so that they can be compared: predictions by row, and what was asked.

`WORKSPACE/runs/<key>/` is one train (key: the model's version) or one backtest (key: a hash of its
settings and its log); the same run again replaces it. They hold customer ids and may be deleted
at any time: nothing but `churn compare` reads them.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from churn.errors import ConfigurationError, nearest
from churn.io import bundle, tables
from churn.io.lab.tracking import flat
from churn.learning import comparison, trial
from churn.learning.backtest import MODEL, Backtest
from churn.settings import Settings

log = logging.getLogger("churn")

ASKED = ("as_of", "known_at", "seed", "source", "churn", "rollup", "features", "train", "backtest")
"""The settings that decide what a run learns and what it is judged on."""

ELSEWHERE = ("train.experiment", "train.tracking_uri")

NAMES = "names.json"
"""Under which key the latest run of each name= stands."""

ALIASES = ("champion", "challenger", "previous")


@dataclass(frozen=True)
class Run:
    """One contestant of one run, as it was asked for: `rows` have origin, snapshot, customer_id,
    label, score and risk, in the order of `comparison.ordered`."""

    word: str
    contestant: str
    facts: Mapping[str, Any]
    rows: pd.DataFrame


def keep(
    settings: Settings,
    found: Backtest,
    *,
    kind: str,
    version: str | None = None,
    run_id: str | None = None,
) -> str:
    """Keep the predictions of every contestant; the key under which they stand."""
    configuration = asked(settings)
    key = version or _key(settings, configuration)
    facts = {
        "kind": kind,
        "name": settings.name,
        "version": version,
        "mlflow_run_id": run_id,
        "against": (bundle.pointer(settings.place, "champion") or {}).get("version")
        if "champion" in found.scores
        else None,
        "configuration": configuration,
    }
    folder = settings.place / "runs"
    tables.write(folder / key, {"predictions": trial.predictions(found)}, facts=facts)
    if settings.name:
        tables.write_sealed(folder / NAMES, {**_names(settings.place), settings.name: key})
    return key


def asked(settings: Settings) -> dict[str, Any]:
    """Configuration key → value, as far as it decides a run."""
    content = asdict(settings)
    found = {name: v for group in ASKED for name, v in flat({group: content[group]}).items()}
    return {name: value for name, value in found.items() if name not in ELSEWHERE}


def chosen(place: Path, words: Sequence[str]) -> list[Run]:
    """The runs that `words` name, all judged on the same rows.

    A champion that was judged on other rows, but beside another of the runs, is taken as it was judged
    there; a rule in charge as well. Raises `ConfigurationError` for fewer than
    two, for words that name nothing, and for runs that cannot be compared.
    """
    if len(words) < 2 or len(set(words)) < len(words):
        raise ConfigurationError(
            "a comparison needs two different runs or more",
            got=f"compare.runs=[{','.join(words)}]",
            expected="compare.runs=[A,B]",
            next_step=f"name two of: {', '.join(_known(place)) or 'none is there yet'}",
        )
    found = {word: _find(place, word) for word in words}
    there = [run for run in found.values() if run is not None]
    base = next((r for r in there if r.facts["against"]), there[0] if there else None)
    runs = [_beside(place, word, run, base) for word, run in found.items()]
    for other in runs[1:]:
        if not comparison.are_same(runs[0].rows, other.rows):
            raise _unrelated(runs[0], other)
    return runs


def differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Configuration key → the value of each run, where they are not all the same."""
    every = {key: None for run in runs for key in run.facts["configuration"]}
    values = {key: [run.facts["configuration"].get(key) for run in runs] for key in every}
    return {key: found for key, found in values.items() if any(v != found[0] for v in found)}


def _beside(place: Path, word: str, run: Run | None, base: Run | None) -> Run:
    """The run, or the champion as it was judged beside `base`: an earlier model, or a rule."""
    entry = (bundle.pointer(place, word) if word in ALIASES else None) or {}
    if base is not None and "rule" in entry:
        rows = _rows(place, base.facts["key"], entry["rule"])
        return Run(word, entry["rule"], base.facts, rows)
    is_there = run is not None and base is not None and comparison.are_same(run.rows, base.rows)
    version = entry.get("version", word)
    if base is not None and version == base.facts["against"] and not is_there:
        log.info("%s is taken as it was judged beside %s", word, base.word)
        rows = _rows(place, base.facts["key"], "champion")
        return Run(word, "champion", _facts(place, version) or base.facts, rows)
    if run is None:
        raise _unknown(place, word)
    return run


def _find(place: Path, word: str) -> Run | None:
    """The run of a word, None where no predictions of it are kept."""
    name, _, contestant = word.partition(":")
    key = _key_of(place, name)
    if key is None:
        return None
    contestant = contestant or MODEL
    return Run(word, contestant, _facts(place, key) or {}, _rows(place, key, contestant))


def _key_of(place: Path, name: str) -> str | None:
    every = {path.name: _facts(place, path.name) for path in _folders(place)}
    version = _version(place, name)
    if version in every:
        return version
    named = _names(place).get(name)
    if named in every:
        return named
    alike = [key for key, facts in every.items() if facts and facts["mlflow_run_id"] == name]
    if alike:
        return alike[0]
    begun = [key for key in every if len(name) >= 4 and key.startswith(name)]
    return begun[0] if len(begun) == 1 else None


def _names(place: Path) -> dict[str, str]:
    path = place / "runs" / NAMES
    return tables.read_json(path) if path.exists() else {}


def _version(place: Path, word: str) -> str:
    """The model's version behind an alias; any other word is itself."""
    entry = bundle.pointer(place, word) if word in ALIASES else None
    return str(entry["version"]) if entry else word


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in (place / "runs").glob("*") if tables.exists(path))


def _facts(place: Path, key: str) -> dict[str, Any] | None:
    folder = place / "runs" / key
    if not tables.exists(folder):
        return None
    return {**tables.facts(folder, made_by="backtest"), "key": key}


def _rows(place: Path, key: str, contestant: str) -> pd.DataFrame:
    rows = tables.read(place / "runs" / key, made_by="backtest")
    scores = [str(name) for name in rows.columns if str(name).startswith("score_")]
    there = [name.removeprefix("score_") for name in scores]
    if contestant not in there:
        raise ConfigurationError(
            f"run {key} has no such contestant",
            got=contestant,
            expected=nearest(contestant, there),
            next_step=f"write one of {', '.join(there)} behind the colon",
        )
    named = {f"score_{contestant}": "score", f"risk_{contestant}": "risk"}
    kept = rows[[*comparison.KEYS, "label", *named]].rename(columns=named)
    return comparison.ordered(kept)


def _known(place: Path) -> list[str]:
    """How the runs that are there can be named."""
    named = {key: name for name, key in _names(place).items()}
    return [named.get(path.name, path.name) for path in _folders(place)]


def _unknown(place: Path, word: str) -> ConfigurationError:
    known = _known(place)
    return ConfigurationError(
        "there is no such run, or its predictions are not kept",
        got=word,
        expected=nearest(word, known) if known else "a run of `churn train` or `churn backtest`",
        next_step="run it again: `churn backtest name=NAME` keeps the predictions of every row",
    )


def _unrelated(one: Run, other: Run) -> ConfigurationError:
    said = {
        key: values
        for key, values in differences([one, other]).items()
        if key.startswith(("as_of", "churn.", "backtest.", "source.", "seed"))
    }
    hint = "; ".join(f"{key}: {a} and {b}" for key, (a, b) in said.items())
    return ConfigurationError(
        f"{one.word} and {other.word} were not judged on the same customers at the same origins",
        got=f"{_in_words(one)}, and {_in_words(other)}" + (f" ({hint})" if hint else ""),
        expected="the same origins, snapshots, customers and outcomes",
        next_step="run `churn backtest name=NAME` for each configuration, with the same as_of, churn "
        "and backtest settings",
    )


def _in_words(run: Run) -> str:
    days = [str(day) for day in sorted(run.rows["origin"].unique())]
    return f"{len(run.rows):,} rows of {len(days)} origins from {days[0]} to {days[-1]}"


def _key(settings: Settings, configuration: Mapping[str, Any]) -> str:
    data = tables.fingerprint(settings.place / "daily", made_by="rollup")
    return hashlib.sha256(f"{bundle.canonical(configuration)}{data}".encode()).hexdigest()[:12]
