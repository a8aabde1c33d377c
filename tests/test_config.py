"""What `key=value` words and the files of `conf/` amount to."""

import dataclasses
import operator
import os
from pathlib import Path

import pytest
import yaml
from commandline import composed, exit_code, jobs

from churn import conf_tree
from churn.cli import commands
from churn.cli.keys import keys, nearest_key, type_of
from churn.errors import ConfigurationError
from churn.settings import ConfigSettings, FeatureSettings, Settings, feature_documents

TEXTS = [
    "1e5",
    "007",
    "null_",
    "true",
    "a b",
    "a,b",
    "a=b",
    "[ab]*.csv",
    "{a,b}.csv",
    "data/*.csv",
    "O'Brien",
    'say "hi"',
    r"C:\logs\new\*.csv",
    "ends with \\",
    r"\'",
    "Größe 漢字 🙂",
    "2026-01-05",
    "-1",
    "a:b",
    "# no comment",
    "(x)",
    "50%",
    "$HOME",
    "~/logs",
    "",
    " padded ",
    "s3://bucket/key?versionId=1&x=[1]",
]

TEXT_KEYS = [
    "customer",
    "workspace",
    "source.events",
    "source.customers",
    "engine.spill",
    "train.experiment",
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own: sweeps and `config` write where they are run."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", [name for name in commands.COMMANDS if name != "completion"])
def test_every_command_composes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(command, "--cfg", "job") == 0
    assert yaml.safe_load(capsys.readouterr().out)["workspace"] == "data"


def test_text_stays_text() -> None:
    for first in range(0, len(TEXTS), len(TEXT_KEYS)):
        pairs = list(zip(TEXT_KEYS, TEXTS[first:], strict=False))
        given = composed(*(f"{key}={text}" for key, text in pairs))
        assert [(key, operator.attrgetter(key)(given)) for key, _ in pairs] == pairs


def test_null_is_nothing_unless_quoted() -> None:
    assert composed("customer=null").customer is None
    assert composed("customer='null'").customer == "null"


def test_text_in_lists_and_mappings_stays_text() -> None:
    given = composed(
        "features.without=[volume, 1e5]",
        "churn.qualifying_events=[001,a b]",
        "source.columns.customer_id=007",
        "source.columns.event=1e5",
        "source.exclude.event=[bot*,2]",
        "source.side_columns.subscriptions.start_date=begin",
        "source.static=[]",
    )
    assert given.features.without == ["volume", "1e5"]
    assert given.churn.qualifying_events == ["001", "a b"]
    assert given.source.columns == {"customer_id": "007", "event": "1e5"}
    assert given.source.exclude == {"event": ["bot*", "2"]}
    assert given.source.side_columns == {"subscriptions": {"start_date": "begin"}}
    assert given.source.static == []


def test_a_mapping_is_given_whole_or_by_key() -> None:
    given = composed(
        "source.columns={user_id: person, event: what}", "retain.plays.usage.play=Call"
    )
    assert given.source.columns == {"user_id": "person", "event": "what"}
    assert given.retain.plays["usage"].play == "Call"
    assert "trouble" in given.retain.plays


def test_from_and_to_are_keys() -> None:
    given = composed("from=2026-01-05", "to=2026-02-02", command="replay")
    assert (given.from_date, given.to_date) == ("2026-01-05", "2026-02-02")


@pytest.mark.parametrize(
    ("words", "definition"),
    [
        ([], "cancellation"),
        (["source=files"], "inactivity"),
        (["source=complete_journey"], "inactivity"),
        (["source=files", "churn=cancellation"], "cancellation"),
        (["churn=inactivity"], "inactivity"),
        (["experiment=grocery"], "inactivity"),
        (["experiment=grocery", "churn=cancellation"], "cancellation"),
    ],
)
def test_a_source_brings_its_churn_definition(words: list[str], definition: str) -> None:
    assert composed(*words).churn.name == definition


def test_a_sweep_runs_every_value() -> None:
    given = jobs("--multirun", "train.model=lightgbm,logistic", "seed=1,2")
    assert [(each.train.model, each.seed) for each in given] == [
        ("lightgbm", 1),
        ("lightgbm", 2),
        ("logistic", 1),
        ("logistic", 2),
    ]


def test_a_sweep_keeps_text_too() -> None:
    assert [each.customer for each in jobs("-m", "customer=007,1e5")] == ["007", "1e5"]
    swept = jobs("-m", "features.without=[1e5],[volume,tenure]")
    assert [each.features.without for each in swept] == [["1e5"], ["volume", "tenure"]]


def test_a_sweep_over_presets() -> None:
    given = jobs("--multirun", "experiment=one_snapshot,lightgbm_only")
    assert [each.train.snapshots for each in given] == [3, 26]


@pytest.mark.parametrize("preset", conf_tree.presets())
def test_every_preset_composes_says_what_it_is_and_yields_to_words(preset: str) -> None:
    assert composed(f"experiment={preset}", "train.snapshots=5").train.snapshots == 5
    if preset != "none":
        said = dataclasses.replace(composed(f"experiment={preset}"), config=ConfigSettings())
        assert said != dataclasses.replace(composed(), config=ConfigSettings())
    assert len(conf_tree.presets()[preset]) > 20


def test_a_folder_of_your_own(tmp_path: Path) -> None:
    own = tmp_path / "mine"
    (own / "experiment").mkdir(parents=True)
    (own / "experiment" / "shop.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /source: files\nsource:\n  events: shop/*.csv\n"
    )
    (own / "local.yaml").write_text("train:\n  snapshots: 7\n")
    given = composed("--config-dir", str(own), "experiment=shop")
    assert given.source.events == "shop/*.csv"
    assert given.churn.name == "inactivity"
    assert given.train.snapshots == 7


def test_a_run_knows_its_words_as_they_were_typed() -> None:
    words = [
        "seed=3",
        "features.without=[1e5,volume]",
        "source.columns.event=what",
        "source.events=O'Brien/a b,c.csv",
    ]
    assert composed(*words).config.overrides == words
    given = jobs("--multirun", "train.model=lightgbm,logistic", "customer=007")
    assert [each.config.overrides for each in given] == [
        ["train.model=lightgbm", "customer=007"],
        ["train.model=logistic", "customer=007"],
    ]


def test_params_replace_composition() -> None:
    assert (
        exit_code(
            "config", "workspace=1e5", "customer=007", "train.snapshots=5", "as_of=2026-01-05"
        )
        == 0
    )
    given = composed("params=params.yaml")
    assert (given.workspace, given.customer, given.as_of) == ("1e5", "007", "2026-01-05")
    assert given.train.snapshots == 5
    assert given == composed(
        "workspace=1e5", "customer=007", "train.snapshots=5", "as_of=2026-01-05"
    )


def test_config_keeps_what_it_was_told_when_asked_to() -> None:
    def written() -> dict[str, object]:
        return yaml.safe_load(Path("params.yaml").read_text())

    exit_code("config", "seed=3", "source.events='a, b.csv'")
    exit_code("config", "config.keep=true", "seed=4")
    assert written()["seed"] == 4
    assert written()["source"]["events"] == "a, b.csv"  # type: ignore[index]
    before = Path("params.yaml").read_bytes()
    exit_code("config", "config.keep=true")
    assert Path("params.yaml").read_bytes() == before
    exit_code("config")
    assert written()["seed"] == 7


def test_the_files_of_conf_agree_with_the_settings() -> None:
    """What `conf/` sets by default is what the typed settings say, where both speak."""
    given, plain = composed(), Settings()
    for part in ("engine", "rollup", "train", "promote", "explain", "weekly", "replay"):
        assert getattr(given, part) == getattr(plain, part), part
    for part in ("tune", "compare", "define", "outcomes", "impact"):
        assert getattr(composed(command=part), part) == getattr(plain, part), part


def test_every_key_has_a_type_and_is_found_again() -> None:
    for name in keys():
        assert type_of(name) is not None
        if not name.startswith("source.world."):
            assert nearest_key(name) == f"did you mean {name}?"


def test_no_job_leaves_files_behind(tmp_path: Path) -> None:
    composed("seed=1")
    assert os.listdir(tmp_path) == []


def test_a_file_of_features_is_found_where_the_command_runs_or_in_the_conf_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "standard_40/definitions.yaml"
    asked = Settings(features=FeatureSettings(more=[name]))
    monkeypatch.chdir(tmp_path)
    assert feature_documents(asked)[name].startswith("family: standard")
    (tmp_path / "standard_40").mkdir()
    (tmp_path / name).write_text("family: mine")
    assert feature_documents(asked)[name] == "family: mine"


def test_a_file_of_features_that_is_nowhere_is_refused_with_both_places() -> None:
    with pytest.raises(ConfigurationError) as caught:
        feature_documents(Settings(features=FeatureSettings(more=["absent.yaml"])))
    assert "absent.yaml or " in str(caught.value)
    assert str(Path("features") / "absent.yaml") in str(caught.value)
