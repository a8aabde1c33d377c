"""Exit codes, refusals in four parts, help and completion."""

import gc
import io
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import panels
import pytest
from commandline import composed, exit_code, logging_as_before

from churn import __main__ as cli
from churn.cli import commands
from churn.errors import InputError
from churn.io import progress
from churn.settings import Settings

REFUSED = {
    "a command": (["trian"], "did you mean train?"),
    "a key": (["train", "horizon_dayz=3"], "did you mean churn.horizon_days?"),
    "a room below nothing": (["retain", "retain.capacities={ada: -3}"], "the room of ada"),
    "the beginning of a key": (["train", "retain.capacity=3"], "retain.capacity_"),
    "a key inside a group": (["train", "train.lightgbm.leaves=3"], "train.lightgbm.num_leaves"),
    "an invented key": (["train", "+surprise=1"], "every key exists already"),
    "a forced key": (["train", "++seed=1"], "expected: seed"),
    "a deleted key": (["train", "~train.model"], "expected: train.model"),
    "a whole number": (["train", "seed=abc"], "a whole number"),
    "a float for a whole number": (["train", "seed=1e5"], "a whole number"),
    "a switch": (["train", "debug=maybe"], "true or false"),
    "a list": (["train", "features.without=tenure"], "a list such as [a,b]"),
    "an item of a list": (["train", "features.windows=[7,x]"], "each a whole number"),
    "a list inside a mapping": (["train", "source.exclude.event=bot"], "a list such as [a,b]"),
    "a mapping": (["train", "retain.plays=3"], "a mapping"),
    "a broken value": (["train", "seed={a"], "got:      seed={a"),
    "a choice of a group": (["train", "churn=activity"], "did you mean inactivity?"),
    "no choice at all": (["train", "churn="], "cancellation, inactivity"),
    "a choice of a key": (["train", "train.model=lgbm"], "did you mean lightgbm?"),
    "a preset": (["train", "experiment=grocer"], "did you mean grocery?"),
    "a column": (["train", "source.columns.customer=x"], "did you mean customer_id?"),
    "a range": (["train", "churn.horizon_days=0"], "a number from 1 to 3650"),
    "a share": (["train", "retain.save_rate=nan"], "a number from 0 to 1"),
    "a seed": (["train", "seed=-1"], "a number from 0"),
    "memory": (["train", "engine.memory_limit=lots"], "such as 4GB"),
    "a window": (["train", "features.windows=[7,400]"], "a number from 1 to 365"),
    "as_of": (["train", "as_of=yesterday"], "a date such as 2026-01-05"),
    "an impossible date": (["train", "as_of=2026-02-30"], "a date such as 2026-01-05"),
    "from": (["replay", "from=5.1.2026"], "write from=YYYY-MM-DD"),
    "known_at": (["train", "known_at=noon"], "a timestamp"),
    "a flag": (["promote", "--back"], "did you mean promote.back?"),
    "a flag with a value": (["train", "--workspace=x"], "workspace=x without dashes"),
    "a flag like Hydra's": (["train", "--multi-run", "seed=1"], "did you mean --multirun?"),
    "a pickle": (["train", "--experimental-rerun", "x"], "there is no flag"),
    "what to print": (["train", "--cfg", "jab"], "--cfg job"),
    "a positional": (["train", "lightgbm"], "a word is not key=value"),
    "params and more": (["train", "params=p.yaml", "seed=1"], "params=FILE alone"),
    "no params": (["train", "params=p.yaml"], "run `churn config` first"),
    "one of many": (["train", "--multirun", "seed=1,x"], "a whole number"),
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_usage_is_refused_in_four_parts(
    case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words, hint = REFUSED[case]
    assert exit_code(*words) == 2
    said = capsys.readouterr().err
    assert [line.split(":")[0].strip() for line in said.splitlines()[1:4]] == [
        "got",
        "expected",
        "next",
    ]
    assert hint in said
    assert "Traceback" not in said
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("trian:\n  model: blend\n", "did you mean train"),
        ("train:\n  modle: blend\n", "did you mean train.model?"),
        ("train:\n  snapshots: many\n", "a whole number"),
        ("train: [\n", "YAML"),
        ("defaults:\n  - override /source: sql2\n", "complete_journey"),
    ],
)
def test_a_wrong_file_is_refused_the_same_way(
    content: str, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "local.yaml").write_text(content)
    assert exit_code("train", "--config-dir", str(own)) == 2
    said = capsys.readouterr().err
    assert hint in said
    assert said.count("\n  ") == 3


@pytest.mark.parametrize("content", ["seed: x\n", "sed: 1\n", "train: [\n", "- 1\n"])
def test_wrong_params_are_refused(content: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("params.yaml").write_text(content)
    assert exit_code("train", "params=params.yaml") == 2
    assert "expected:" in capsys.readouterr().err


def test_the_exit_code_is_that_of_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def bad_input(settings: Settings) -> None:
        raise InputError("x", got="x", expected="x", next_step="x")

    monkeypatch.setattr(cli, "_entry", lambda command: bad_input)
    assert exit_code("train") == 3
    with logging_as_before(), pytest.raises(InputError):
        cli.main(["train", "debug=true"])


@pytest.mark.parametrize(
    ("error", "code"), [(OSError("disk"), 1), (MemoryError(), 1), (KeyboardInterrupt(), 130)]
)
def test_the_machine_and_the_user_end_it_without_traceback(
    error: BaseException,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(settings: Settings) -> None:
        raise error

    monkeypatch.setattr(cli, "_entry", lambda command: fails)
    assert exit_code("train") == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_entry", lambda command: lambda settings: 1 / 0)
    with logging_as_before(), pytest.raises(ZeroDivisionError):
        cli.main(["train"])


def test_a_failed_job_ends_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def fails(settings: Settings) -> None:
        seen.append(settings.seed)
        raise InputError("x", got="x", expected="x", next_step="x")

    monkeypatch.setattr(cli, "_entry", lambda command: fails)
    assert exit_code("train", "--multirun", "seed=1,2") == 3
    assert seen == [1]


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["help"], *([name, "--help"] for name in commands.COMMANDS)]
)
def test_help_names_every_command_and_loads_nothing_heavy(words: list[str]) -> None:
    before = set(sys.modules)
    assert exit_code(*words) == 0
    assert not {"mlflow", "lightgbm", "shap"} & (set(sys.modules) - before)


def test_help_is_fast_and_quiet() -> None:
    program = (
        "import sys; sys.argv = ['churn', *sys.argv[1:]]; from churn.__main__ import main; main()"
    )
    for words in (["--help"], ["train", "--help"]):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", program, *words],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "train" in done.stdout
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert not {"hydra", "pandas", "numpy", "sklearn", "duckdb", "omegaconf"} & loaded
        assert time.perf_counter() - began < 3  # alone it takes .05 s; the machine may be busy


LEARNING = {"sklearn", "lightgbm", "mlflow", "scipy", "shap", "matplotlib"}
LOADED = "import sys; print(' '.join(sorted({name.partition('.')[0] for name in sys.modules})))"


def test_a_panel_is_built_without_waiting_for_what_learns(tmp_path: Path) -> None:
    """`churn features` on a real roll-up; texts and items would need scikit-learn, here are none."""
    place = panels.rolled_up(tmp_path)
    words = ["features", f"workspace={place}", "engine.threads=1", "as_of=2026-01-05"]
    program = f"import atexit; from churn.__main__ import main; atexit.register(exec, {LOADED!r}, {{}}); main({words})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert {"duckdb", "pandas", "churn"} <= loaded
    assert not LEARNING & loaded


def test_stages_that_do_not_learn_load_nothing_that_does() -> None:
    stages = ["check", "config", "deliver", "features", "retain", "rollup", "simulate", "status"]
    program = "; ".join([*(f"import churn.stages.{name}" for name in stages), LOADED])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "pandas" in loaded
    assert not LEARNING & loaded


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out.startswith("churn ")


def test_every_command_has_a_stage_or_flow() -> None:
    for name in commands.COMMANDS:
        if name != "completion":
            assert callable(cli._entry(name))


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("tr", "train"),
        ("workspa", "workspace="),
        ("retain.sav", "retain.save_rate="),
        ("churn=ina", "inactivity"),
    ],
)
def test_completion(typed: str, offered: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("completion") == 0
    Path("completion").write_text(capsys.readouterr().out)
    line = f"churn {typed}" if offered == "train" else f"churn train {typed}"
    place = f"COMP_LINE='{line}' COMP_POINT={len(line)} COMP_CWORD={line.count(' ')}"
    script = f'source ./completion; {place}; _churn; echo "${{COMPREPLY[@]}}"'
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.split() == [offered]


def test_overrides_reach_the_stage() -> None:
    assert composed("train.model=logistic", "seed=3").train.model == "logistic"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("watched_by", [Terminal, io.StringIO])
def test_progress_is_shown_to_a_person_only(
    watched_by: type[io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = watched_by()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "DELAY_SECONDS", 0.01)
    with progress.timed("thinking"):
        time.sleep(0.6)
    assert list(progress.watched(range(3), what="counting")) == [0, 1, 2]
    with progress.timed("counting"):
        for _ in progress.watched(range(3), what="steps"):
            time.sleep(0.05)
    shown = stream.getvalue()
    assert ("thinking … 00:00" in shown) == stream.isatty()
    assert ("steps:  67%" in shown) == stream.isatty()
    assert bool(shown) == stream.isatty()


def test_the_wheel_carries_the_configuration(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="the build extra is not installed")
    root = Path(__file__).parents[1]
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("src", "conf"):
        shutil.copytree(root / name, tmp_path / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, tmp_path)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    with zipfile.ZipFile(next((tmp_path / "dist").glob("*.whl"))) as wheel:
        carried = set(wheel.namelist())
    for folder, into in ((root / "src" / "churn", "churn"), (root / "conf", "churn/conf")):
        for path in folder.rglob("*.*"):
            if path.suffix != ".pyc":
                assert f"{into}/{path.relative_to(folder).as_posix()}" in carried


def test_the_collector_is_paused_only_until_the_command_begins(tmp_path: Path) -> None:
    """In a process of its own; in somebody's notebook it is left as it was."""
    said = "import gc, sys; print(gc.isenabled(), gc.get_freeze_count() > 0, file=sys.stderr)"
    program = f"""
import sys
from churn import __main__
from churn.stages import status
status.run = lambda settings: exec({said!r})
sys.argv = ["churn", "status", "workspace={tmp_path}"]
try:
    __main__.main()
finally:
    exec({said!r})
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.split() == ["True", "True", "True", "True"]


def test_a_command_in_a_notebook_leaves_the_collector_as_it_was(tmp_path: Path) -> None:
    exit_code("status", f"workspace={tmp_path}")
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
