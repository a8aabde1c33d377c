"""`dvc repro` on a tiny demo, in a clone of what it needs: it redoes only what changed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("dvc", reason="the dvc extra is not installed")

ROOT = Path(__file__).parents[1]
STAGES = [
    "config",
    "simulate",
    "rollup",
    "features",
    "train",
    "promote",
    "score",
    "explain",
    "retain",
]
TINY = [
    "source.world.n_customers=300",
    "source.world.n_weeks=40",
    "train.lightgbm.n_rounds=20",
    "train.snapshots=8",
    "train.n_folds=2",
    "backtest.rebuild_rows=0",
]


def test_dvc_repro_redoes_only_what_changed(tmp_path: Path) -> None:
    """One test, since every step needs the pipeline that the first one ran."""
    clone = cloned(tmp_path / "clone")
    run(clone, "churn", "config", *TINY)
    assert ran(run(clone, "dvc", "repro")) == STAGES
    assert list((clone / "data" / "retention").glob("*/retention_list.csv"))
    a_second_repro_does_nothing(clone)
    an_override_reruns_what_depends_on_it_and_is_kept(clone)
    a_changed_file_of_conf_needs_no_other_command(clone)
    a_challenger_that_is_no_better_does_not_stop_the_pipeline(clone)
    metrics_and_plots_are_shown(clone)
    the_dag_is_drawn_from_config_to_list(clone)
    nothing_landed_in_the_cache(clone)
    a_clone_without_params_starts_by_itself(clone)


def cloned(place: Path) -> Path:
    """What the pipeline needs, in a repository of its own."""
    place.mkdir()
    for name in ("conf", "src", ".dvc", "dvc.yaml", ".dvcignore"):
        here, there = ROOT / name, place / name
        if here.is_dir():
            shutil.copytree(
                here, there, ignore=shutil.ignore_patterns("__pycache__", "tmp", "cache")
            )
        else:
            shutil.copy(here, there)
    (place / "conf" / "local.yaml").unlink(missing_ok=True)
    subprocess.run(["git", "init", "--quiet", str(place)], check=True)
    return place


def run(place: Path, *command: str) -> str:
    """What a command says when it succeeds in the clone, with the clone's own code."""
    scripts = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(place / "src"),
        "DVC_NO_ANALYTICS": "1",
        "COLUMNS": "400",
    }
    words = [sys.executable, "-m", *command] if command[0] == "dvc" else list(command)
    done = subprocess.run(
        words, cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def ran(said: str) -> list[str]:
    return [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")]


def a_second_repro_does_nothing(clone: Path) -> None:
    said = run(clone, "dvc", "repro")
    assert ran(said) == []
    assert "up to date" in said
    assert "up to date" in run(clone, "dvc", "status")


def an_override_reruns_what_depends_on_it_and_is_kept(clone: Path) -> None:
    run(clone, "churn", "config", *TINY, "retain.capacity_per_owner=5")
    assert ran(run(clone, "dvc", "repro")) == ["config", "explain", "retain"]
    assert yaml.safe_load((clone / "params.yaml").read_text())["retain"]["capacity_per_owner"] == 5
    assert ran(run(clone, "dvc", "repro")) == []


def a_changed_file_of_conf_needs_no_other_command(clone: Path) -> None:
    path = clone / "conf" / "retain" / "default.yaml"
    path.write_text(path.read_text().replace("save_rate: 0.2", "save_rate: 0.3"))
    assert ran(run(clone, "dvc", "repro")) == ["config", "explain", "retain"]
    written = yaml.safe_load((clone / "params.yaml").read_text())
    assert written["retain"]["save_rate"] == 0.3
    assert written["source"]["world"]["n_customers"] == 300


def a_challenger_that_is_no_better_does_not_stop_the_pipeline(clone: Path) -> None:
    champion = (clone / "data" / "champion.json").read_text()
    run(
        clone,
        "churn",
        "config",
        "config.keep=true",
        "train.lightgbm.n_rounds=1",
        "train.model=lightgbm",
    )
    assert ran(run(clone, "dvc", "repro"))[:3] == ["config", "train", "promote"]
    challenger = json.loads((clone / "data" / "challenger.json").read_text())
    assert challenger["version"] != json.loads(champion)["version"]
    assert ran(run(clone, "dvc", "repro")) == []


def metrics_and_plots_are_shown(clone: Path) -> None:
    shown = json.loads(run(clone, "dvc", "metrics", "show", "--json"))[""]["data"]
    model = shown[os.path.join("data", "metrics", "model.json")]["data"]
    assert 0 < model["roc_auc"] < 1
    assert len(shown) == 6
    page = run(clone, "dvc", "plots", "show").strip().splitlines()[-1].removeprefix("file://")
    content = Path(page).read_text()
    assert "longest_silent" in content
    assert "observed" in content


def the_dag_is_drawn_from_config_to_list(clone: Path) -> None:
    drawn = run(clone, "dvc", "dag", "--dot")
    assert '"config" -> "simulate"' in drawn
    assert '"explain" -> "retain"' in drawn


def nothing_landed_in_the_cache(clone: Path) -> None:
    files = [path for path in (clone / ".dvc").rglob("*") if path.is_file()]
    kept = {path.name for path in files if "tmp" not in path.parts}
    assert kept <= {"config", ".gitignore"}


def a_clone_without_params_starts_by_itself(clone: Path) -> None:
    """DVC reads params.yaml when its turn comes, not before the first stage has written it."""
    (clone / "params.yaml").unlink()
    assert ran(run(clone, "dvc", "repro", "--single-item", "config")) == ["config"]
    assert (
        yaml.safe_load((clone / "params.yaml").read_text())["source"]["world"]["n_customers"]
        == 20_000
    )


def test_dvc_calls_nobody() -> None:
    config = (ROOT / ".dvc" / "config").read_text()
    assert "analytics = false" in config
    assert "autostage = false" in config


def test_every_output_stays_out_of_the_cache() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert list(stages) == STAGES
    for name, stage in stages.items():
        for out in [*stage["outs"], *stage.get("metrics", []), *stage.get("plots", [])]:
            assert all(options["cache"] is False for options in out.values()), name
