"""The notebook runs from top to bottom on a small workspace, and is kept without outputs."""

import os
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commandline import exit_code

import churn
from churn.io.documents import story

nbformat = pytest.importorskip("nbformat", reason="the notebook extra is not installed")

PATH = Path(__file__).parents[1] / "notebooks" / "start_here.ipynb"
SMALL = [
    "source.world.n_customers=400",
    "source.world.n_weeks=40",
    "train.lightgbm.n_rounds=20",
    "train.snapshots=8",
    "train.n_test_snapshots=1",
    "backtest.rebuild_rows=0",
]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    place = tmp_path / "data"
    assert exit_code("run", f"workspace={place}", *SMALL) == 0
    return place


def executed(workspace: Path) -> Any:
    """The notebook with its outputs, run with warnings as errors."""
    from nbclient import NotebookClient

    notebook = nbformat.read(PATH, as_version=4)
    cell = next(each for each in notebook.cells if "WORKSPACE =" in each.source)
    cell.source = (
        f"WORKSPACE = {str(workspace)!r}\n"
        "import warnings\n"
        "warnings.simplefilter('error')\n"
        "warnings.filterwarnings('default', module='(IPython|traitlets|jupyter_client|zmq|tornado)')"
    )
    own = str(workspace.parent / "jupyter")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_RUNTIME_DIR", own)
        patch.setenv("IPYTHONDIR", own)
        patch.setenv("PYTHONPATH", os.pathsep.join(entry for entry in sys.path if entry))
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute(
            cwd=str(workspace.parent)
        )
    return notebook


def outputs(notebook: Any, kind: str) -> list[str]:
    """Everything of a MIME type that the cells show."""
    return [
        output.data[kind]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if kind in output.get("data", {})
    ]


def test_it_runs_on_a_small_workspace(workspace: Path) -> None:
    notebook = executed(workspace)
    assert len(outputs(notebook, "image/png")) == 5
    assert any("A customer churns who cancels" in text for text in outputs(notebook, "text/plain"))
    tables = "".join(outputs(notebook, "text/html"))
    for shown in ("core_action", "longest silent", "roc_auc", "sentence", "share_churned"):
        assert shown in tables
    kinds = {each.output_type for cell in notebook.cells for each in cell.get("outputs", [])}
    assert kinds == {"display_data", "execute_result"}, "something was said on a stream"
    the_events_add_up_to_the_daily_roll_up(workspace)
    a_customer_without_events_has_a_picture_too(workspace)


def test_the_file_has_no_outputs_short_cells_and_no_logic() -> None:
    for cell in nbformat.read(PATH, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            assert len(cell.source.splitlines()) <= 4
            assert not {"def ", "for ", "if ", "lambda"} & set(cell.source.split(" "))


def the_events_add_up_to_the_daily_roll_up(workspace: Path) -> None:
    data = churn.open(str(workspace))
    daily = data.daily()
    assert data.events()["n"].sum() == daily["n"].sum()
    customer = daily["customer_id"].iloc[0]
    mine = data.events(customer)
    assert set(mine["customer_id"]) == {customer}
    assert mine["n"].sum() == daily.loc[daily["customer_id"] == customer, "n"].sum()


def a_customer_without_events_has_a_picture_too(workspace: Path) -> None:
    assert churn.open(str(workspace)).timeline("nobody").png.startswith(b"\x89PNG")


def test_weeks_end_the_day_before_the_list() -> None:
    days = ["2026-01-12", "2026-01-11", "2026-01-05", "2026-01-04", "2025-12-21"]
    events = pd.DataFrame(
        {"day": pd.to_datetime(days), "event": list("xaaab"), "n": [100, 1, 2, 4, 8]}
    )
    counted = story.weeks(events, as_of=date(2026, 1, 12))
    assert [day.date().isoformat() for day in counted.index] == [
        "2025-12-15",
        "2025-12-22",
        "2025-12-29",
        "2026-01-05",
    ]
    assert counted["a"].tolist() == [0, 0, 4, 3]
    assert counted["b"].tolist() == [8, 0, 0, 0]
    assert list(counted.columns) == ["b", "a"]
