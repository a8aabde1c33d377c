"""A configuration as others may see it: MLflow's readers are not those of the workspace.

A policy may name customers and owners, delivery names people and their addresses. None of them leaves
the house: they are left out or, with a key in `CHURN_PSEUDONYM_KEY` (or `…_FILE`), stand there as
keyed pseudonyms, the same in every run, so that two configurations can be told apart.
"""

import hashlib
import hmac
from dataclasses import asdict
from typing import Any

import yaml

from churn.io import secret
from churn.settings import Settings

KEY_VARIABLE = "CHURN_PSEUDONYM_KEY"

NAMING = {
    "retain": ("always", "do_not_contact", "capacities"),
    "deliver": ("owners", "head", "sender"),
}
"""Settings whose keys or values are ids, names or addresses."""


def configuration(settings: Settings) -> bytes:
    """The settings as YAML, nobody named in it."""
    content = asdict(settings)
    key = secret.read(KEY_VARIABLE)
    for group, names in NAMING.items():
        for name in names:
            content[group][name] = _unnamed(content[group][name], key)
    for name in ("customer", "user"):
        content[name] = _unnamed(content[name], key)
    excluded = content["source"]["exclude"]
    content["source"]["exclude"] = {name: _unnamed(globs, key) for name, globs in excluded.items()}
    said = [word for word in content["config"]["overrides"] if not _names_somebody(word)]
    content["config"]["overrides"] = said
    return yaml.safe_dump(content, sort_keys=False).encode()


def _names_somebody(word: str) -> bool:
    key = word.lstrip("+").partition("=")[0]
    naming = [f"{group}.{name}" for group, names in NAMING.items() for name in names]
    return key.startswith((*naming, "source.exclude", "customer", "user"))


def _unnamed(value: Any, key: str) -> Any:
    """`value` with a pseudonym for every text in it; without a key, empty or null."""
    if isinstance(value, dict):
        return (
            {_pseudonym(name, key): _unnamed(one, key) for name, one in value.items()}
            if key
            else {}
        )
    if isinstance(value, list):
        return [_unnamed(one, key) for one in value] if key else []
    if isinstance(value, str):
        return _pseudonym(value, key) if key else None
    return value


def _pseudonym(text: str, key: str) -> str:
    digest = hmac.new(key.encode(), text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()
    return f"id-{digest[:16]}"
