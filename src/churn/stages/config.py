"""`churn config`: the resolved configuration, which `dvc repro` depends on."""

import logging
from dataclasses import asdict
from pathlib import Path

import yaml

from churn.io import tables
from churn.settings import PARAMS, Settings

log = logging.getLogger("churn")


def run(settings: Settings) -> None:
    """Write `params.yaml` in the current folder; later stages run with `params=params.yaml`."""
    path = Path(PARAMS)
    content = "# Written by `churn config`; change conf/ or its overrides, not this file.\n"
    tables.write_bytes(path, (content + yaml.safe_dump(asdict(settings), sort_keys=False)).encode())
    log.info("wrote %s", path)
