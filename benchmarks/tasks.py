"""What `engine.py` measures, each in a process of its own: python benchmarks/tasks.py NAME JSON.

The stages of the product run here as `churn COMMAND` runs them, but without the command line: the
settings are built directly, so that Hydra is not measured. The last line of output is a JSON object;
`work_s` are CPU seconds after everything was imported.
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

CONF = Path(__file__).resolve().parents[1] / "conf"


def limit(given: dict[str, Any]) -> dict[str, Any]:
    """The least that any engine must do: count each customer's events per day and type."""
    import duckdb

    began = time.process_time()
    connection = duckdb.connect(config={"threads": given["threads"]})
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(f"""
        COPY (
            SELECT customer_id, CAST(ts AS DATE) AS day, event, COUNT(*) AS n, SUM(value) AS value
            FROM read_parquet('{given["events"]}') GROUP BY ALL
        ) TO '{given["workspace"]}.parquet' (FORMAT parquet)
    """)
    return {"work_s": time.process_time() - began}


def rollup(given: dict[str, Any]) -> dict[str, Any]:
    """`churn rollup`."""
    from churn.stages import rollup

    settings = _settings(given)
    began = _began()
    rollup.run(settings)
    return {"work_s": time.process_time() - began}


def features(given: dict[str, Any]) -> dict[str, Any]:
    """`churn features`: as many training snapshots as `given` says, and `as_of`."""
    from churn.stages import features

    settings = _settings(given)
    began = _began()
    features.run(settings)
    work_s = time.process_time() - began
    rows, columns = _panel_size(settings.place)
    if given.get("set") == "standard_40" and columns != 40:
        raise SystemExit(f"conf/features/standard_40.yaml gives {columns} features, not 40")
    return {"work_s": work_s, "rows": rows, "columns": columns}


def both(given: dict[str, Any]) -> dict[str, Any]:
    """`rollup` and `features` one after the other in one process, as `churn run` has them."""
    import churn.stages.features  # noqa: F401 - what it imports is not work

    rolled_up, made = rollup(given), features(given)
    return made | {"work_s": rolled_up["work_s"] + made["work_s"]}


def weekly(given: dict[str, Any]) -> dict[str, Any]:
    """`churn rollup` with a new delivery, then the features of `as_of` alone, as `churn score` builds
    them: those of the panel that stands in the workspace. One process, where `churn weekly` has two of
    which the second is up by then."""
    from churn.io.engine import opened, resources
    from churn.io.modelling import panels
    from churn.io.workspace import Workspace
    from churn.stages import rollup

    settings = _settings(given)
    began = _began()
    rollup.run(settings)
    rolled_up = time.process_time()
    workspace = Workspace(settings.place)
    plan = _plan(settings, workspace)
    with opened(resources(settings.engine), workspace.usage(plan.reads_from)) as engine:
        pieces = panels.pieces(engine, plan)
        rows = [piece.to_pandas(split_blocks=True) for piece in pieces]
    done = time.process_time()
    return {"work_s": done - began, "rollup_s": rolled_up - began, "rows": sum(map(len, rows))}


def fit(given: dict[str, Any]) -> dict[str, Any]:
    """The default model of up to 60,000 mature rows of the panel, kept as `model.json`."""
    import lightgbm as lgb

    from churn.features.definitions import Feature
    from churn.io import tables
    from churn.io.workspace import Workspace
    from churn.learning import models
    from churn.settings import TrainSettings

    folder = Workspace(Path(given["workspace"])).folder("panel")
    panel = tables.read(folder, made_by="features")
    rows = panel[panel["label_mature"]].iloc[:: max(1, len(panel) // 60_000)]
    facts = tables.facts(folder, made_by="features")
    recipe = models.Recipe(model="blend", lightgbm=vars(TrainSettings().lightgbm), threads=2)
    model = models.fit(
        rows, features=[Feature(**entry) for entry in facts["features"]], recipe=recipe
    )
    text, spec = models.to_spec(model)
    (Path(given["workspace"]) / "model.json").write_text(json.dumps({"text": text, "spec": spec}))
    return {"rows": len(rows), "trees": lgb.Booster(model_str=text).num_trees()}


def predict(given: dict[str, Any]) -> dict[str, Any]:
    """LightGBM's own `predict` on a matrix that is ready: nothing can score with less."""
    from churn.learning import columns

    model, frame = _model_and_customers(given)
    matrix = columns.matrix(model.columns, frame)
    return _timed(lambda: model.booster.predict(matrix))


def score(given: dict[str, Any]) -> dict[str, Any]:
    """Panel to calibrated risk: columns checked and put in place, all members, calibration. `member`
    lightgbm takes the other half of the blend away; `when` adds what `churn score` says besides, the
    risks of 2, 4, 8 and 12 weeks and by when half of it has accrued."""
    from dataclasses import replace

    from churn.learning import models
    from churn.learning.models import Calibration

    model, frame = _model_and_customers(given)
    if given.get("member") == "lightgbm":
        trees_only = Calibration(model.calibration.weights[:1], model.calibration.intercept)
        model = replace(model, logistic=None, calibration=trees_only)
    found = models.risks if given.get("when") else models.predict
    return _timed(lambda: found(model, frame))


def _model_and_customers(given: dict[str, Any]) -> tuple[Any, Any]:
    """The model that `fit` kept, and `rows` customers: the panel's rows, again and again."""
    import numpy as np

    from churn.features.panel import OUTCOMES
    from churn.io import tables
    from churn.io.workspace import Workspace
    from churn.learning import models

    kept = json.loads((Path(given["workspace"]) / "model.json").read_text())
    folder = Workspace(Path(given["workspace"])).folder("panel")
    panel = tables.read(folder, made_by="features").drop(columns=list(OUTCOMES))
    frame = panel.iloc[np.arange(given["rows"]) % len(panel)].reset_index(drop=True)
    frame["customer_id"] = [f"C{number:07d}" for number in range(given["rows"])]
    return models.from_spec(kept["text"], kept["spec"]), frame


def _began() -> float:
    """The CPU seconds so far, when everything is imported; a command begins its stage so too."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    return time.process_time()


def _timed(work: Callable[[], Any]) -> dict[str, Any]:
    """CPU and wall seconds of `work` alone, without loading what it works on."""
    cpu, wall = time.process_time(), time.perf_counter()
    rows = len(work())
    return {
        "work_s": time.process_time() - cpu,
        "work_wall_s": time.perf_counter() - wall,
        "rows": rows,
    }


def _plan(settings: Any, workspace: Any) -> Any:
    """The features of the panel in the workspace, of one snapshot."""
    from churn.features import definitions, panel
    from churn.features.vocabulary import Vocabulary
    from churn.io import tables

    as_of, usage = settings.as_of_date(), workspace.usage_facts()
    facts = tables.facts(workspace.folder("panel"), made_by="features")
    return panel.Plan(
        snapshots=[as_of],
        labels_known_on=as_of,
        lookback_days=facts["lookback_days"],
        definition=settings.churn,
        vocabulary=Vocabulary(**facts["vocabulary"]),
        features=[definitions.Feature(**entry) for entry in facts["features"]],
        all_places=panel.places(usage["event_types"]),
        arrival=settings.arrival(as_of),
        has_customer_versions=usage["has_customer_versions"],
        has_late=usage["has_loaded_at"],
    )


def _settings(given: dict[str, Any]) -> Any:
    """Settings as the command line would compose them from the same words."""
    from churn.features.labels import Definition
    from churn.settings import (
        EngineSettings,
        FeatureSettings,
        Settings,
        SourceSettings,
        TrainSettings,
    )

    chosen = yaml.safe_load((CONF / "features" / f"{given.get('set', 'default')}.yaml").read_text())
    chosen["more"] = [str(CONF / "features" / path) for path in chosen["more"]]
    return Settings(
        workspace=given["workspace"],
        as_of=given["as_of"],
        engine=EngineSettings(
            threads=given["threads"],
            memory_limit=given.get("memory_limit", "4GB"),
            spill=given.get("spill", ""),
        ),
        source=SourceSettings(name="files", events=given["events"]),
        churn=Definition(name="inactivity", active_days=84),
        features=FeatureSettings(**chosen),
        train=TrainSettings(snapshots=given.get("snapshots", 8), step_days=28),
    )


def _panel_size(workspace: Path) -> tuple[int, int]:
    """Rows and features of the panel, from the metadata of its files."""
    import pyarrow.parquet as pq

    found = [pq.ParquetFile(path).metadata for path in (workspace / "panel").glob("*.parquet")]
    n_keys = 7  # snapshot, customer_id, the outcomes
    return sum(one.num_rows for one in found), found[0].num_columns - n_keys


if __name__ == "__main__":
    name, text = sys.argv[1:]
    if name in ("rollup", "features", "both", "weekly"):
        gc.disable()  # until all is imported, as a command begins (`churn.__main__`)
    print(json.dumps(globals()[name](json.loads(text))))
