"""`churn promote`: the challenger becomes champion if it passes the gate; or back to the last."""

import logging
from dataclasses import asdict
from typing import Any

from churn.errors import HeldBackError
from churn.io import bundle
from churn.io.bundle import Bundle
from churn.io.lab import model_card, store, tracking
from churn.learning import gate
from churn.learning.gate import Verdict
from churn.settings import Settings

logger = logging.getLogger("churn")


def run(settings: Settings) -> None:
    """Move `champion` to the challenger if every rule of the gate holds, the first model included.

    A champion whose files are lost is renewed by the same model trained again.
    With `promote.back=true`, champion and previous change places. Raises `HeldBackError` that names
    the rules that do not hold; the champion stays, and where no model has ever passed, the best
    rule is put in charge of the list.
    """
    place = settings.place
    tracking.settle(store.of(settings))  # a training that waited gives its pointer MLflow's number
    if settings.promote.back:
        _back(settings)
        return
    challenger, old = bundle.load(place, "challenger"), bundle.pointer(place, "champion")
    is_renewed = old is not None and old["version"] == challenger.version
    if is_renewed and bundle.is_whole(place, "champion"):
        logger.info("%s is the champion already", challenger.version)
        return
    _require_same_opponent(challenger, old)
    verdicts = gate.judge(challenger.spec.get("evidence"), allowed=settings.promote.allowed)
    for line in model_card.verdicts(verdicts):
        logger.info("%s", line)
    if not gate.passed(verdicts):
        _leave_it_to_a_rule(settings, old, verdicts)
        raise _refusal(challenger.version, verdicts)
    if is_renewed:
        logger.info("%s is the champion still, with its files again", challenger.version)
    else:
        first = "champion now" if _is_model(old) else "first champion"
        logger.info("%s is the %s", challenger.version, first)
    # nobody can return to an entry whose files are lost: `previous` stays what it was
    new = {**challenger.entry, "gate": [asdict(v) for v in verdicts]}
    _move(settings, new, None if is_renewed else old)


def _is_model(entry: dict[str, Any] | None) -> bool:
    return entry is not None and "rule" not in entry


def _require_same_opponent(challenger: Bundle, old: dict[str, Any] | None) -> None:
    """The evidence must speak of the champion that would be replaced."""
    evidence = challenger.spec.get("evidence")
    current = old["version"] if old is not None and _is_model(old) else None
    if evidence and evidence["against"] not in (current, challenger.version):
        raise HeldBackError(
            "the challenger was compared with another champion",
            got=f"figures against {evidence['against'] or 'no model'}",
            expected=f"figures against {current or 'no model'}, the champion now",
            next_step="run `churn train` again, then `churn promote`",
        )


def _leave_it_to_a_rule(
    settings: Settings, old: dict[str, Any] | None, verdicts: list[Verdict]
) -> None:
    """Without a model that ever passed, the best rule ranks the list, and the list says so."""
    rule = bundle.pointer(settings.place, "rule")
    if rule is None or _is_model(old):
        return
    bundle.point(settings.place, "champion", {**rule, "gate": [asdict(v) for v in verdicts]})
    logger.info("until a model passes, the list is ranked by the rule %s", rule["rule"])


def _refusal(version: str, verdicts: list[Verdict]) -> HeldBackError:
    failed = [verdict for verdict in verdicts if not verdict.passed]
    return HeldBackError(
        f"challenger {version} does not pass the gate. {gate.in_words(verdicts)}",
        got="; ".join(f"{v.rule}: {v.found}" for v in failed),
        expected="; ".join(f"{v.rule}: {v.needed}" for v in failed),
        next_step="look at the model card; train on a longer log or with other features, or keep "
        "what is in charge",
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
        before = (old or {}).get("mlflow_model_version")
        tracking.promote(
            store.of(settings), to_champion=new["mlflow_model_version"], to_previous=before
        )
