"""What stands beside the product for those who operate it: every exit code, command and unit is real."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import _in_place_of_stages, exit_code

from churn import errors
from churn.errors import ChurnError
from churn.io.weekly import gates
from churn.settings import Settings

ROOT = Path(__file__).parents[1]
OPERATE, RUNBOOK = ROOT / "docs" / "operate", ROOT / "docs" / "runbook"
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type)]
CODES = sorted({0, *(kind.exit_code for kind in KINDS)})
PARTS = [
    "What it means.", "What is published now.", "What to look at.", "What to do.",
    "When to wake somebody.",
]  # fmt: skip


def commands() -> list[str]:
    """Every command that a page of the runbook gives, and those of the units and the crontab."""
    pages = "\n".join(path.read_text() for path in sorted(RUNBOOK.glob("*.md")))
    blocks = "".join(re.findall(r"```\n(.*?)```", pages, flags=re.DOTALL))
    spoken = re.findall(r"`(churn [^`]+)`", pages)
    unit = re.findall(r"ExecStart=\S+/(churn .*)", (OPERATE / "churn-weekly.service").read_text())
    line = re.findall(r"weekly\.sh (.*)", (OPERATE / "crontab").read_text())
    return sorted(
        {*blocks.splitlines(), *spoken, *unit, *(f"churn weekly {words}" for words in line)}
    )


def test_every_exit_code_has_a_page_with_all_it_needs() -> None:
    assert all(issubclass(kind, ChurnError) for kind in KINDS)
    assert list(range(8)) == CODES
    index = (RUNBOOK / "README.md").read_text()
    for code in CODES:
        page = (RUNBOOK / f"{code}.md").read_text()
        assert page.startswith(f"# Exit code {code}: ")
        assert [part for part in PARTS if f"**{part}**" not in page] == []
        assert f"[{code}]({code}.md)" in index
    assert {path.name for path in RUNBOOK.iterdir()} == {
        "README.md",
        *(f"{code}.md" for code in CODES),
    }


def test_every_command_of_the_runbook_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Settings] = []
    assert len(commands()) >= 12
    with _in_place_of_stages(asked.append):
        for command in commands():
            plain = command.replace("YYYY-MM-DD", "2026-01-05")
            words = [word.strip("'") for word in plain.split()[1:]]
            assert exit_code(*words) == 0, command
    accepted = [gate for settings in asked for gate in settings.weekly.accept]
    assert accepted
    assert set(accepted) <= set(gates.GATES)
    assert any(settings.promote.back for settings in asked)


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd here")
    for path in OPERATE.glob("churn-weekly.*"):
        text = path.read_text().replace("/opt/churn/.venv/bin/churn", sys.executable)
        (tmp_path / path.name).write_text(text)
    units = sorted(str(path) for path in tmp_path.iterdir())
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True
    )
    mine = [line for line in found.stderr.splitlines() if "churn-weekly" in line]
    assert (len(units), found.returncode, mine) == (2, 0, [])


@pytest.mark.parametrize(
    ("ends", "code", "called"),
    [
        ([0], 0, ["weekly a b"]),
        ([7, 1, 5, 0], 0, ["weekly a b"] * 4),
        ([6, 6, 0], 0, ["weekly a b", "deliver a b", "deliver a b"]),
        ([4], 4, ["weekly a b"]),
        ([2], 2, ["weekly a b"]),
        ([7, 3], 3, ["weekly a b"] * 2),
        ([7] * 9, 7, ["weekly a b"] * 5),
    ],
)
def test_cron_tries_again_while_waiting_may_help(
    tmp_path: Path, ends: list[int], code: int, called: list[str]
) -> None:
    fake = tmp_path / "churn"
    fake.write_text(
        '#!/bin/sh\ncd "${0%/*}"\necho "$@" >> called\n'
        'read -r code < ends; sed -i 1d ends; exit "$code"\n'
    )
    fake.chmod(0o755)
    (tmp_path / "ends").write_text("".join(f"{end}\n" for end in ends))
    own = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "CHURN_TRIES": "5",
        "CHURN_PAUSE_SECONDS": "0",
    }
    done = subprocess.run([OPERATE / "weekly.sh", "a", "b"], env=os.environ | own)
    assert done.returncode == code
    assert (tmp_path / "called").read_text().splitlines() == called


def test_the_image_is_built_from_files_that_are_there_and_as_make_installs() -> None:
    text = (OPERATE / "Containerfile").read_text()
    copied = [line.split()[1:-1] for line in re.findall(r"^COPY (?!--from).*", text, re.MULTILINE)]
    assert [name for names in copied for name in names if not (ROOT / name).exists()] == []
    flags = {"--require-hashes", "--no-deps", "--no-build-isolation", "--no-index"}
    assert flags <= set(text.split())
    assert flags <= set((ROOT / "Makefile").read_text().split())
    users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    assert users == ["10001"]
    assert "secret" not in text.lower()


def test_every_promise_names_tests_that_are_there() -> None:
    """A command that selects nothing would show nothing."""
    root = Path(__file__).parents[1]
    commands = re.findall(r"`P ([^`]+)`", (root / "docs" / "promises.md").read_text())
    assert len(commands) > 12
    for command in commands:
        files, _, words = command.partition(" -k ")
        names = []
        for file in files.split():
            paths = [root / file] if file.endswith(".py") else (root / file).glob("test_*.py")
            for path in paths:
                names += re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
        for word in words.strip('"').split(" or ") if words else [""]:
            assert [name for name in names if word in name], command
