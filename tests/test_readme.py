"""What the README tells a newcomer to type, typed."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with `logs/` as the README describes it: other names, local time, three files."""
    place = tmp_path_factory.mktemp("newcomer")
    rng = np.random.default_rng(3)
    days = pd.date_range("2025-03-01", "2025-11-20")
    rows = []
    for customer in range(300):
        stops = rng.integers(60, 400)
        on = np.flatnonzero(
            (rng.random(len(days)) < rng.uniform(0.1, 0.6)) & (np.arange(len(days)) < stops)
        )
        for day in on:
            moment = days[day] + pd.Timedelta(seconds=int(rng.integers(0, 86_400)))
            rows.append(
                (f"u-{customer:03d}", moment.strftime("%d/%m/%Y %H:%M:%S"), "report opened")
            )
    (place / "logs").mkdir()
    for number in range(3):
        part = pd.DataFrame(rows[number::3], columns=["user", "when", "what"])
        part.to_csv(place / "logs" / f"part{number}.csv", index=False)
    (place / "conf" / "source").mkdir(parents=True)
    (local,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (place / "conf" / "source" / "mine.yaml").write_text(textwrap.dedent(local))
    return place


def typed(command: str, folder: Path) -> str:
    """Run a command line of the README in `folder`; `churn` is this interpreter's."""
    own = f"{sys.executable} -m churn"
    with_local = re.sub(r"^churn (\w+)", rf"{own} \1 --config-dir conf", command.strip())
    done = subprocess.run(
        ["bash", "-c", with_local], cwd=folder, capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr


def commands(start: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    joined = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line.split("  #")[0] for line in joined if line.startswith(start)]


def test_check_as_the_readme_has_it_shows_the_log(folder):
    (check,) = commands("churn check")
    said = typed(check, folder)
    assert "300 " in said
    assert "report opened" in said
    assert not (folder / "data").exists()


def test_the_two_commands_after_it_reach_and_publish_a_list(folder):
    (run,) = commands("churn run source=mine")
    assert "retention_list.html" in typed(run, folder)
    (weekly,) = commands("churn weekly")
    typed(weekly, folder)
    current = (folder / "mine" / "published" / "CURRENT").read_text().strip()
    published = {path.name for path in (folder / "mine" / "published" / current).iterdir()}
    assert published == {
        "retention_list.parquet", "retention_list.csv", "retention_list.xlsx", "retention_list.html",
        "scores.parquet", "reasons.parquet", "digest.eml", "card.md", "listing.json", "manifest.json",
    }  # fmt: skip
    typed(weekly, folder)
    assert (folder / "mine" / "published" / "CURRENT").read_text().strip() == current


def test_the_configuration_for_ones_own_log_has_at_most_five_lines():
    (local,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert len(local.strip().splitlines()) <= 5
