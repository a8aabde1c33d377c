"""Seven defects that must never ship, each planted in a copy of the source: a named test notices it.

A test that passes on sound code proves little; that the same test fails once a line says something
else proves that it looks. `make mutants` does the same at random (docs/decisions/020-checked.md).
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COPIED = ("src", "conf", "tests", "docs", "benchmarks", "pyproject.toml", "README.md")


@dataclass(frozen=True)
class Defect:
    """`patches` are (file below src/churn, what stands there once, what stands there instead)."""

    patches: tuple[tuple[str, str, str], ...]
    test: str


DEFECTS = {
    "non-atomic publish": Defect(
        (("io/publish.py", "os.replace(folder, place)", "shutil.copytree(folder, place)"),),
        "tests/test_publish.py::test_a_revision_is_given_its_name_by_one_rename_and_current_comes_last",
    ),
    "double append": Defect(
        (
            (
                "io/intake/sources.py",
                "firsts = {delivery.sha256: delivery for",
                "firsts = {delivery.path: delivery for",
            ),
        ),
        "tests/test_sources.py::test_identical_content_under_two_names_counts_once",
    ),
    "future leak": Defect(
        (
            (
                "features/windows.py",
                "_day_columns(plan, counted),\n        first=plan.first_day,\n        before=max(plan.snapshots),",
                "_day_columns(plan, counted),\n        first=plan.first_day,\n        before=type(plan.first_day)"
                ".fromordinal(max(plan.snapshots).toordinal() + 1),",
            ),
            (
                "features/running.py",
                "over = min(span.over, upto)",
                "over = min(span.over, upto) - (span.over == 0)",
            ),
            (
                "features/plan.py",
                "max(*self.snapshots, self.labels_known_on or date.min)",
                "max(*(s + timedelta(1) for s in self.snapshots), self.labels_known_on or date.min)",
            ),
            ("features/running.py", "ages = {0, lookback_days}", "ages = {-1, lookback_days}"),
            (
                "features/running.py",
                "for age in (lookback_days, 0))",
                "for age in (lookback_days, -1))",
            ),
        ),
        "tests/spec/test_boundaries.py::test_when_it_happened[duckdb-2026-06-01 00:00:00.000000-expected0]",
    ),
    "swallowed bad row": Defect(
        (
            (
                "io/intake/index.py",
                'read = sum(row["n"] for row in rows)',
                'read = sum(row["n"] for row in rows if row["fault"] in (0, events.EXCLUDED))',
            ),
        ),
        "tests/test_nothing_dropped.py::test_a_log_with_every_defect_is_accounted_for_to_the_row",
    ),
    "live formula in CSV": Defect(
        (("io/documents/export.py", """return _BARE.sub("'", value)""", "return value"),),
        "tests/test_private.py::test_live_formula",
    ),
    "live formula in XLSX": Defect(
        (
            (
                "io/documents/workbook.py",
                '"strings_to_formulas": False',
                '"strings_to_formulas": True',
            ),
            (
                "io/documents/workbook.py",
                "sheet.write_string(*place, value, look)",
                "sheet.write(*place, value, look)",
            ),
        ),
        "tests/test_export.py::test_workbook_payloads_stay_text",
    ),
    "logged secret": Defect(
        (
            (
                "io/sending/smtp.py",
                "server.login(*login)",
                '__import__("logging").getLogger("churn").debug("login %s", login), server.login(*login)',
            ),
        ),
        "tests/test_delivery.py::test_a_wrong_password_is_told_without_it",
    ),
    "half-forgotten customer": Defect(
        (
            (
                "stages/forget.py",
                "changed = of_lists.in_revisions(place, person, account, notices=settings.deliver.notify)",
                "changed: list[str] = []",
            ),
        ),
        "tests/test_forget.py::test_half_forgotten_customer",
    ),
}


def ends(place: Path, test: str) -> subprocess.CompletedProcess[str]:
    """How the named test ends on the source in `place`."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-n0", test],
        cwd=place, env={**os.environ, "PYTHONPATH": str(place / "src")}, capture_output=True, text=True,
        timeout=1200,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS.keys())
def test_a_planted_defect_is_caught_by_its_test(defect: Defect, tmp_path: Path) -> None:
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    sound = ends(tmp_path, defect.test)
    assert sound.returncode == 0, sound.stdout[-3000:]
    for name, old, new in defect.patches:
        path = tmp_path / "src" / "churn" / name
        text = path.read_text()
        assert text.count(old) == 1, f"{name} says otherwise now: plant the defect anew"
        path.write_text(text.replace(old, new))
    planted = ends(tmp_path, defect.test)
    assert planted.returncode == 1, planted.stdout[-3000:]
    assert "FAILED" in planted.stdout
