"""What is installed beside the product: licences that somebody agreed to, vulnerabilities that are told."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import licences  # noqa: E402


def test_every_licence_is_agreed_to_and_listed() -> None:
    assert list(licences.refused()) == []
    page = (ROOT / "docs" / "licences.md").read_text()
    installed = [name for name in licences.pinned("test") if licences.licence(name)]
    assert len(installed) > 100
    assert [name for name in installed if f"| {name} | " not in page] == []
    assert set(licences.pinned("run")) <= set(licences.pinned("test"))


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ("MIT", True), ("GPL-3.0-only", False), ("MIT AND GPL-3.0-only", False), ("not said", False),
        ("MIT OR GPL-3.0-only", True), ("MPL-2.0 AND (Apache-2.0 OR GPL-2.0-only)", True),
        ("Apache-2.0 WITH LLVM-exception AND BSD-2-Clause", True), ("(GPL-2.0-only) AND MIT", False),
        ("AGPL-3.0", False), ("SSPL-1.0", False), ("", False),
    ],
)  # fmt: skip
def test_an_expression_is_met_by_allowed_licences_alone(said: str, allowed: bool) -> None:
    assert licences.is_allowed(said) is allowed


def test_a_licence_that_nobody_agreed_to_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licences, "ALLOWED", licences.ALLOWED - {"PSF-2.0"})
    assert any(line.startswith("matplotlib: ") for line in licences.refused())


SAFE = {"name": "safe", "version": "1", "vulns": []}
BAD = {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "odd", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ([SAFE, BAD], 1, "bad 2: PYSEC-1, mended in 3"),
        ([SAFE, UNKNOWN], 0, "0 known vulnerabilities in 1 packages; 1 not checked"),
        ([UNKNOWN], 0, "nothing was checked (Dependency not found"),
        (None, 0, "nothing was checked (ConnectionError: no route)"),
    ],
)
def test_a_finding_fails_and_silence_is_no_check(
    tmp_path: Path, answer: list[dict] | None, code: int, words: str
) -> None:
    """In place of pip-audit, whose database is not here: what it writes for each answer."""
    (tmp_path / "pip_audit.py").write_text(
        "import json, sys\n"
        f"answer = json.loads({json.dumps(json.dumps(answer))})\n"
        "if answer is None: sys.exit('ConnectionError: no route')\n"
        "open(sys.argv[sys.argv.index('--output') + 1], 'w').write("
        "json.dumps({'dependencies': answer}))\n"
        "sys.exit(any(one.get('vulns') for one in answer))\n"
    )
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "audit"], capture_output=True, text=True, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == code
    assert words in done.stdout
