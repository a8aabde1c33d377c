"""A model as MLflow registers and serves it: code, booster text and JSON, no pickle."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

REQUIREMENTS = ("lightgbm", "numpy", "pandas", "scikit-learn")
"""What a served model needs beside this package, which is not listed: a package of the same name
on a public index would be installed in its place."""

CODE = '''"""The served model: a calibrated risk for each row, read from text and JSON."""

import json
from pathlib import Path

import mlflow
import pandas as pd

from churn.learning import models


class Churn(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        text = Path(context.artifacts["booster"]).read_text()
        spec = json.loads(Path(context.artifacts["spec"]).read_text())
        self.model = models.from_spec(text, spec["model"])

    def predict(self, context, model_input: pd.DataFrame):
        return pd.DataFrame({"risk": models.predict(self.model, model_input)})


mlflow.models.set_model(Churn())
'''


@dataclass(frozen=True)
class Served:
    """A model to register: `folder` holds booster.txt and spec.json, `inputs` are its columns as
    (name, kind)."""

    version: str
    folder: Path
    inputs: Sequence[tuple[str, str]]


def register(client: Any, model: Served, *, name: str) -> tuple[str, str]:
    """Log the model without pickle (code, booster text, JSON); returns its registered number and id."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    kinds = {"number": "double", "category": "string"}
    inputs = Schema(
        [ColSpec(kinds[kind], column, required=kind == "number") for column, kind in model.inputs]
    )
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "served.py"
        code.write_text(CODE)
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(code),
            artifacts={
                "booster": str(model.folder / "booster.txt"),
                "spec": str(model.folder / "spec.json"),
            },
            signature=ModelSignature(inputs=inputs, outputs=Schema([ColSpec("double", "risk")])),
            pip_requirements=[f"{package}=={installed(package)}" for package in REQUIREMENTS],
        )
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        client.create_registered_model(name)
    made = client.create_model_version(
        name, logged.model_uri, run_id=logged.run_id, model_id=logged.model_id
    )
    return str(made.version), str(logged.model_id)
