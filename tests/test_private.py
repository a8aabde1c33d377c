"""Secrets, files of the group, names that are joined last: looked for in every byte of a workspace."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from commandline import exit_code
from mailserver import PASSWORD
from products import SMALL, named, sources_of

from churn.errors import ConfigurationError, InputError
from churn.io import secret, tables, unseen
from churn.io.documents import export
from churn.io.engine import Resources, opened
from churn.io.engine.guard import LOOK_OUTSIDE, require_inside
from churn.io.intake import forgotten
from churn.settings import data_only
from churn.usage.columns import parsed_query

# --- secrets ----------------------------------------------------------------------------------

CANARIES = {
    "CHURN_SMTP_PASSWORD": "canary-smtp-hunter2",
    "CHURN_SQL_URL": "postgresql+psycopg://ann:canary-sql-hunter2@127.0.0.1:1/logs",
    "MLFLOW_TRACKING_PASSWORD": "canary-mlflow-hunter2",
    "PGPASSWORD": "canary-pg-hunter2",
    "CHURN_NOTIFY_URL": "json://ann:canary-notify-hunter2@127.0.0.1:1/hook",
    "CHURN_HOLDOUT_KEY": "canary-holdout-hunter2",
    "CHURN_FORGET_KEY": "canary-forget-hunter2",
    "AWS_SECRET_ACCESS_KEY": "canary-aws-hunter2",
}
SECRET = "hunter2"
"""Ends every canary: found wherever one of them stands, whole or cut at its front."""

FAILING = ["deliver.host=127.0.0.1", "deliver.port=1", "deliver.security=none",
           "deliver.head=head@example.com", "deliver.notify=[CHURN_NOTIFY_URL]"]  # fmt: skip
DATABASE = ["source=sql", "source.events=logs", "source.customers=null",
            "source.subscriptions=null", "source.contacts=null"]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["config", *FAILING], 0),
        (["weekly", "as_of=2025-10-27", *FAILING, "sink=sql"], 6),
        (["rollup", *DATABASE, "debug=true"], 1),
        *(
            pytest.param(words, expected, marks=pytest.mark.slow)
            for words, expected in (
                (["weekly", "--cfg", "job", *FAILING], 0),
                (["deliver", *FAILING, "debug=true"], 1),
                (["rollup", *DATABASE], 1),
                (["promote", "train.tracking_uri=http://127.0.0.1:1", "debug=true"], None),
                (["forget", "customer=nobody-at-all", *FAILING], 0),
                (["train", "train.tracking_uri=http://127.0.0.1:1"], 0),
            )
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_logged_secret(product, tmp_path, words, expected):
    """Planted defect: a secret in a file, a log, a run, an error or a traceback."""
    place = tmp_path / "ws"
    subprocess.run(["cp", "-a", product[0], place], check=True)
    given = [*words, f"workspace={place}", *sources_of(product[0]), *SMALL]
    if "source=sql" in words:
        given = [*words, f"workspace={place}", *SMALL]
    environment = {
        **os.environ,
        **CANARIES,
        "CHURN_SMTP_USER": "ann",
        "MLFLOW_TRACKING_USERNAME": "ann",
    }
    done = subprocess.run(
        [sys.executable, "-m", "churn", *given], capture_output=True, text=True, cwd=tmp_path, env=environment
    )  # fmt: skip
    assert expected in (None, done.returncode), done.stderr[-2000:]
    assert SECRET not in done.stdout
    assert SECRET not in done.stderr
    assert ("debug=true" not in words) or "Traceback" in done.stderr or not done.returncode
    assert named(tmp_path, SECRET) == set()


def test_a_secret_comes_from_the_environment_or_from_a_file_it_names(tmp_path, monkeypatch):
    assert secret.read("CHURN_NONE") == ""
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    monkeypatch.setenv("CHURN_SMTP_PASSWORD_FILE", str(file))
    assert secret.read("CHURN_SMTP_PASSWORD") == PASSWORD
    monkeypatch.setenv("CHURN_SMTP_PASSWORD", PASSWORD)
    with pytest.raises(ConfigurationError, match="given twice") as error:
        secret.read("CHURN_SMTP_PASSWORD")
    assert PASSWORD not in str(error.value)
    monkeypatch.delenv("CHURN_SMTP_PASSWORD")
    monkeypatch.setenv("CHURN_SMTP_PASSWORD_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        secret.read("CHURN_SMTP_PASSWORD")


def test_no_module_but_one_reads_secrets_from_the_environment():
    """Everything else asks `io/secret`, which knows files and shows no value."""
    readers = [
        path.name
        for path in Path(secret.__file__).parents[1].rglob("*.py")
        if "environ" in (text := path.read_text()) and ("environ.get(" in text or "getenv(" in text)
    ]
    # JAVA_HOME, and the region and address of an object store, are none
    assert sorted(readers) == ["application.py", "copies.py", "secret.py"]


# --- personal data ----------------------------------------------------------------------------


def test_files_are_for_the_group_and_folders_too(product):
    """Whatever library wrote them: 0640 and 0750 at most, after everything that a week runs.

    But the metrics: sums for a collector that runs as somebody else.
    """
    place = product[0]
    found = [place, *(path for path in place.rglob("*") if not path.is_symlink())]
    found = [path for path in found if path.name != "metrics.prom"]
    assert len(found) > 150
    wide = [
        (path.relative_to(place).as_posix(), oct(path.stat().st_mode & 0o777))
        for path in found
        if path.stat().st_mode & 0o777 & ~(0o750 if path.is_dir() else 0o640)
    ]
    assert wide == []


def test_a_stricter_mask_stays(tmp_path):
    before = os.umask(0o077)
    try:
        tables.write(tmp_path / "ws" / "scores", {})
        assert exit_code("forget", "customer=x-1", f"workspace={tmp_path / 'ws'}") == 0
        assert (tmp_path / "ws" / forgotten.FILE).stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_names_are_joined_last_and_ids_stay_out_of_models_and_mlflow(product):
    """A name stands where people read it and nowhere that is computed; MLflow has not even ids."""
    place = product[0]
    customers = pd.read_csv(place.parent / "logs" / "customers.csv", dtype=str)
    names = tuple(customers["customer_name"].dropna().unique())
    read_by_people = {"customers", "retention", "published", "outbox"}
    assert len(names) > 200
    assert {path.split("/")[0] for path in named(place, *names)} == read_by_people
    ids = tuple(customers["customer_id"])
    owners = tuple(customers["owner"].dropna().unique())
    for learnt in ("mlflow", "models", "cards", "metrics", "plots"):
        assert any(path.is_file() for path in (place / learnt).rglob("*"))
        assert named(place / learnt, *ids, *owners) == set(), learnt


# --- nothing runs code ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    [
        "train._target_=os.system", "deliver.owners._target_=ann@example.com",
        "hydra.callbacks.x._target_=os.system", "+hydra.callbacks.x={_target_: os.system}",
        "hydra/launcher=joblib", "hydra/sweeper@x=y", "hydra.searchpath=[file:///tmp]",
    ],
)  # fmt: skip
def test_a_word_that_names_code_is_refused(word, tmp_path):
    assert exit_code("status", word, f"workspace={tmp_path}") == 2


@pytest.mark.parametrize(
    "text",
    [
        "hydra:\n  callbacks:\n    x:\n      _target_: pathlib.Path.touch\n      self: {mark}\n",
        'hydra: {{callbacks: {{x: {{"_targ\\x65t_": pathlib.Path.touch, self: {mark}}}}}}}\n',
        "deliver:\n  owners:\n    _target_: ann@example.com\n",
        "hydra:\n  searchpath: ['file:///tmp']\n",
    ],
)
def test_a_file_of_configuration_that_names_code_is_refused(text, tmp_path, monkeypatch):
    mark = tmp_path / "it-ran"
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "local.yaml").write_text(text.format(mark=mark))
    monkeypatch.setattr(data_only, "CONF", tmp_path / "conf")
    assert exit_code("status", f"workspace={tmp_path}") == 2
    monkeypatch.undo()
    assert exit_code("status", "--config-dir", str(tmp_path / "conf"), f"workspace={tmp_path}") == 2
    params = tmp_path / "params.yaml"
    params.write_text("train:\n  _target_: os.system\n")
    assert exit_code("status", f"params={params}") == 2
    assert not mark.exists()


def test_there_is_no_pickle(product):
    """Neither in what the product writes nor in what it imports to read."""
    place = product[0]
    assert not [p for p in place.rglob("*") if p.suffix in (".pkl", ".pickle", ".joblib", ".dill")]
    started = [
        p
        for p in place.rglob("*")
        if p.is_file() and p.read_bytes()[:2] in (b"\x80\x04", b"\x80\x05")
    ]
    assert started == []
    for path in Path(secret.__file__).parents[1].rglob("*.py"):
        text = path.read_text()
        for word in ("import pickle", "cloudpickle", "import joblib", "import dill", "instantiate(",
                     "allow_pickle=True", "yaml.load(", "yaml.unsafe", "shell=True"):  # fmt: skip
            assert word not in text, (path, word)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('/etc/passwd')", "SELECT (SELECT MAX(content) FROM read_text('/etc/passwd'))",
        "SELECT * FROM rows WHERE x IN (SELECT file FROM glob('/*'))", "SELECT getenv('HOME') FROM rows",
        "SELECT * FROM query('SELECT 1')", "SELECT * FROM duckdb_secrets()", "SELECT * FROM other",
        "SELECT * FROM information_schema.tables", "ATTACH '/tmp/x.db'", "COPY rows TO '/tmp/x.csv'",
        "INSTALL httpfs", "SET threads = 1", "DROP TABLE rows",
    ],
)  # fmt: skip
def test_a_query_reaches_only_what_it_was_given(query):
    import pyarrow as pa
    from sqlglot import parse_one

    with opened(Resources()) as engine:
        engine.bind("rows", pa.table({"x": ["a"]}))
        assert (
            engine.table(parsed_query("WITH w AS (SELECT x FROM rows) SELECT * FROM w")).num_rows
            == 1
        )
        with pytest.raises(ConfigurationError, match="reaches for what it was not given"):
            engine.table(parse_one(query, dialect="duckdb"))


def test_every_function_that_looks_outside_is_refused():
    for name in LOOK_OUTSIDE:
        with pytest.raises(ConfigurationError):
            require_inside(parsed_query(f"SELECT {name}('x') FROM rows"), {"rows"})


def test_live_formula(tmp_path):
    """Planted defect: a text that a spreadsheet would run, in any column of the CSV or the workbook."""
    import openpyxl
    from handouts import sample

    from churn.io.documents import workbook

    listing = sample()
    texts = [name for name in listing.rows if str(listing.rows[name].dtype) in ("object", "str")]
    payload = '=HYPERLINK("http://evil.example","x")'
    for name in [name for name in texts if name not in ("act_before", "last_contact", "as_of")]:
        rows = listing.rows.assign(**{name: [payload, *list(listing.rows[name])[1:]]})
        content = export.csv_bytes(rows).decode("utf-8-sig")
        assert f",{payload}" not in content, name
        assert f'"{payload.replace(chr(34), chr(34) * 2)}"' not in content, name
        path = tmp_path / f"{name}.xlsx"
        path.write_bytes(workbook.workbook_bytes(_with(listing, rows)))
        cells = [
            cell
            for sheet in openpyxl.load_workbook(path)
            for row in sheet.iter_rows()
            for cell in row
        ]
        assert not [cell for cell in cells if cell.data_type == "f"], name
        assert any(payload in str(cell.value) for cell in cells), name


def _with(listing, rows):
    from dataclasses import replace

    return replace(
        listing, rows=rows, title="=1+1", notes=["=cmd|' /C calc'!A0"], facts={"=1": "=2"}
    )


# --- what a log line shows --------------------------------------------------------------------


def test_log_lines_show_every_character_and_forge_no_line(capsys):
    log = logging.getLogger("churn.test_private")
    handler = logging.StreamHandler()
    handler.setFormatter(unseen.Formatter())
    log.handlers, log.propagate = [handler], False
    log.warning("%s has %d rows", "a\nrows read 0\x1b[2J\u202eb\r", 3)
    log.warning("%s", "two\nlines\x07")
    error = InputError(
        "a.csv\nrows read 9", got="x\x1b]0;t\x07", expected="y\n            z", next_step="n"
    )
    log.warning("%s", error)
    try:
        raise ValueError("\x1b[31mred")
    except ValueError:
        log.exception("failed")
    said = capsys.readouterr().err
    assert said.splitlines()[:3] == [
        "a[U+000A]rows read 0[U+001B][2J[U+202E]b[U+000D] has 3 rows",
        "two",
        "lines[U+0007]",
    ]
    assert "a.csv\n            rows read 9\n  got:      x[U+001B]]0;t[U+0007]\n" in said
    assert "  expected: y\n            z\n" in said
    assert "ValueError: [U+001B][31mred" in said
    assert "\x1b" not in said
    assert "\u202e" not in said
