"""`churn promote`: the challenger becomes champion if it predicts better; or back to the last."""

import logging
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from churn.errors import HeldBackError
from churn.features.labels import Definition
from churn.io import bundle, tables, tracking
from churn.io.bundle import Bundle
from churn.learning import metrics, models, trial
from churn.settings import Settings
from churn.timeline import label_window

logger = logging.getLogger("churn")


@dataclass(frozen=True)
class Comparison:
    """What challenger and champion lose on test rows; lower is better. `basis` says which rows."""

    challenger: float
    champion: float
    basis: str


def run(settings: Settings) -> None:
    """Move `champion` to the challenger: the first always, a later one if its log loss is lower.

    With `promote.back=true`, champion and previous change places. Raises `HeldBackError` when the
    challenger does not predict better; the champion stays.
    """
    place = settings.place
    if settings.promote.back:
        _back(settings)
        return
    challenger = bundle.load(place, "challenger")
    old = bundle.pointer(place, "champion")
    if old is not None and old["version"] == challenger.version:
        logger.info("%s is the champion already", challenger.version)
        return
    if old is None:
        logger.info("%s is the first champion", challenger.version)
    else:
        comparison = compare(place, challenger, bundle.load(place, "champion"))
        _require_better(challenger.version, old["version"], comparison)
    _move(settings, challenger.entry, old)


def compare(place: Path, challenger: Bundle, champion: Bundle) -> Comparison:
    """Both models' log loss, on the same rows wherever that is honest.

    The challenger is judged by the figures of its trial, in which its test rows were kept from it.
    A champion that has not learnt from those rows either is scored on them. Otherwise scoring it
    would reward memory: then its own trial speaks, as it is if it had the same rows, else as a
    share of what giving everyone the base rate loses, which makes different rows comparable.
    """
    mine, its = challenger.spec["test"], champion.spec["test"]
    if mine is None:
        raise HeldBackError(
            "the challenger has no test figures, so nothing shows that it is better",
            got="no snapshot old enough to be kept back for testing",
            expected="at least one test snapshot after the training snapshots",
            next_step="train again when the log is longer, or with a smaller churn.horizon_days",
        )
    figure = mine["figures"]["model"]
    rescored = _rescored(place, challenger, champion)
    if rescored is not None:
        return Comparison(figure["log_loss"], rescored, "log loss on the same rows")
    if its is None:
        return Comparison(
            _relative(figure), 1.0, "log loss / that of the base rate, champion untested"
        )
    other = its["figures"]["model"]
    same = all(figure[k] == other[k] for k in ("n_rows", "n_churned"))
    if same and mine["snapshots"] == its["snapshots"]:
        return Comparison(figure["log_loss"], other["log_loss"], "log loss on the same rows")
    return Comparison(
        _relative(figure), _relative(other), "log loss / that of the base rate, own test rows"
    )


def _rescored(place: Path, challenger: Bundle, champion: Bundle) -> float | None:
    """The champion's log loss on the challenger's test rows; None where that would be unfair.

    It is when the champion learnt from them, answers another question, or lacks a column.
    """
    test = [date.fromisoformat(s) for s in challenger.spec["test"]["snapshots"]]
    if champion.spec["churn"] != challenger.spec["churn"] or not tables.exists(place / "panel"):
        return None
    churn = Definition(**champion.spec["churn"])
    learnt = max(date.fromisoformat(s) for s in champion.spec["training_snapshots"])
    window = label_window(learnt, gap_days=churn.gap_days, horizon_days=churn.horizon_days)
    rows = trial.at(trial.mature(tables.read(place / "panel", made_by="features")), test)
    known = {c.name for c in champion.model.columns} <= set(rows.columns)
    counted = len(rows) == challenger.spec["test"]["figures"]["model"]["n_rows"]
    if window.before > test[0] or not known or not counted:
        return None
    label = rows["label"].to_numpy(dtype=float)
    return metrics.log_loss(label, models.predict(champion.model, rows))


def _relative(figures: dict[str, float]) -> float:
    return figures["log_loss"] / max(metrics.entropy(figures["base_rate"]), 1e-12)


def _require_better(version: str, champion: str, found: Comparison) -> None:
    if found.challenger < found.champion:
        logger.info(
            "%s replaces %s: %.4f against %.4f (%s)",
            version, champion, found.challenger, found.champion, found.basis,
        )  # fmt: skip
        return
    raise HeldBackError(
        f"challenger {version} does not predict better than champion {champion}",
        got=f"{found.challenger:.4f} against {found.champion:.4f} ({found.basis}; lower is better)",
        expected=f"less than {found.champion:.4f}",
        next_step="keep the champion, or train on a longer log or with other features",
    )


def _back(settings: Settings) -> None:
    """Champion and previous change places."""
    place = settings.place
    previous, champion = bundle.load(place, "previous"), bundle.pointer(place, "champion")
    _move(settings, previous.entry, champion)
    logger.info("%s is the champion again", previous.version)


def _move(settings: Settings, new: dict[str, Any], old: dict[str, Any] | None) -> None:
    """Point `previous` to the old champion first, so that a kill in between loses nothing."""
    if old is not None:
        bundle.point(settings.place, "previous", old)
    bundle.point(settings.place, "champion", new)
    if "mlflow_model_version" in new:
        where = tracking.store(
            settings.place,
            experiment=settings.train.experiment,
            uri=settings.train.tracking_uri,
        )
        before = (old or {}).get("mlflow_model_version")
        tracking.promote(where, to_champion=new["mlflow_model_version"], to_previous=before)
