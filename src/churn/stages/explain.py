"""`churn explain`: reasons for everybody who is listed, or for `customer=ID`; what matters overall."""

import logging
from collections.abc import Collection
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from churn import contracts
from churn.errors import ConfigurationError, nearest
from churn.features.vocabulary import Vocabulary
from churn.io import bundle, records, tables
from churn.io.bundle import Bundle
from churn.io.documents import roster
from churn.io.engine import opened, resources
from churn.io.modelling import witness
from churn.io.workspace import Workspace
from churn.learning import models, shapley
from churn.retention import evidence, language, ranking, reasons, what_if
from churn.retention.language import Language
from churn.settings import Settings, spoken
from churn.usage import history

log = logging.getLogger("churn")

N_STEPS = 3
"""Of a family that would have to change: so many of the features that raise the risk most."""

NOTHING_TO_DO = "The model reads nothing of explain.actionable."


def run(settings: Settings) -> None:
    """Write `reasons/` (part `as_of`) and the picture of global importance beside it.

    With `customer=` the reasons of one customer are told and nothing is written.
    """
    _require_whom(settings)
    as_of = settings.as_of_or_last(Workspace(settings.place).usage_facts())
    workspace = Workspace(settings.place, settings.arrival(as_of))
    champion = bundle.load(settings.place, "champion")
    part = as_of.isoformat()
    features = tables.read(workspace.folder("scored"), made_by="score", part=part)
    chosen = _chosen(workspace, settings, as_of, features["customer_id"])
    facts = _facts(workspace, settings, champion, features, chosen, as_of)
    judged = None if "rule" in champion.spec else champion.spec.get("reasons")
    said = _said(settings, champion, judged)
    muted = evidence.muted(
        records.outcomes(settings.place, by=as_of), min_right=settings.explain.min_right
    )
    silent = _silent(settings, said, judged) | _muted(muted)
    rows = _reasons(workspace, settings, champion, facts, said, silent, as_of)
    rows = evidence.beside(rows, judged or [], said)[list(contracts.REASONS.columns)]
    if settings.customer:
        _tell(settings.customer, rows)
        if settings.explain.what_if:
            _tell_what_if(settings, champion, features, said, as_of)
        return
    notes = evidence.notes(judged, muted)
    _write(workspace, part, rows, notes)
    _importance(champion, features, workspace, settings)
    log.info(
        "reasons for %d customers, %.1f sentences each",
        len(chosen),
        len(rows) / max(len(chosen), 1),
    )


def _said(settings: Settings, champion: Bundle, judged: list[dict[str, Any]] | None) -> Language:
    """The sentences for the champion's features, without a voice for the end of a term where its backtest
    did not know of one: then the contract's speaks of that too, as it was judged."""
    said = language.with_own(spoken(settings), champion.features)
    is_known = judged is None or {one["family"] for one in judged} & {*said.late}
    return said if is_known else said.without(said.late)


def _chosen(workspace: Workspace, settings: Settings, as_of: date, scored: pd.Series) -> list[str]:
    """Whom to explain: one customer, everybody, or who is listed."""
    if settings.customer:
        _require_scored(settings.customer, scored)
        return [settings.customer]
    if settings.explain.everybody:
        return scored.tolist()
    return ranking.listed(roster.ranked(settings, as_of).rows)["customer_id"].tolist()


def _facts(
    workspace: Workspace,
    settings: Settings,
    champion: Bundle,
    features: pd.DataFrame,
    chosen: list[str],
    as_of: date,
) -> pd.DataFrame:
    """The features of `chosen`, by customer, and since when their use has dropped."""
    facts = features.set_index("customer_id").loc[chosen]
    use = Vocabulary(**champion.spec["panel"]["vocabulary"]).use
    with opened(resources(settings.engine), workspace.usage()) as engine:
        engine.bind("listed", pa.table({"customer_id": pa.array(chosen, pa.string())}))
        days = engine.table(history.days(as_of, use=use)).to_pandas()
    events = history.matrix(days, chosen)
    return facts.assign(drop_began_days=reasons.drop_began_days(np.minimum(events, 1)))


def _reasons(
    workspace: Workspace,
    settings: Settings,
    champion: Bundle,
    facts: pd.DataFrame,
    said: Language,
    silent: Collection[tuple[str, str]],
    as_of: date,
) -> pd.DataFrame:
    heard = reasons.speaking(
        witness.voices(
            champion.model, facts, champion.features, said, gap_days=settings.churn.gap_days
        ),
        said,
        matching=witness.matching(settings, facts.reset_index(), said),
        silent=silent,
        first_before=_first_before(workspace, as_of),
        stays=settings.explain.stays,
    )
    return reasons.sentences(heard, facts, said, as_of=as_of).assign(as_of=as_of)


def _write(workspace: Workspace, part: str, rows: pd.DataFrame, notes: list[str]) -> None:
    """Part `part` of `reasons/`; what a reader of the list must know of it stands in its facts."""
    folder = workspace.folder("reasons")
    before = tables.facts(folder, made_by="explain") if tables.exists(folder) else {}
    told = {**before.get("notes", {}), part: notes}
    tables.write(folder, {part: rows}, keep=True, facts={"notes": told})
    for note in notes:
        log.info("%s", note)


def _muted(muted: dict[str, str]) -> dict[tuple[str, str], str]:
    return {(family, language.RAISES): why for family, why in muted.items()}


def _silent(
    settings: Settings, said: Language, judged: list[dict[str, Any]] | None
) -> dict[tuple[str, str], str]:
    """What is not said, and why; the log says so too."""
    if judged is None:
        return {}
    found = evidence.silent(judged, said, min_lift=settings.explain.min_lift)
    heard = {(one["family"], one["direction"]) for one in judged if one["n_left"]}
    told = [f"{f} ({d}): {why}" for (f, d), why in found.items() if (f, d) in heard]
    if told:
        log.info("not shown, since in the backtest: %s", "; ".join(told))
    return found


def _first_before(workspace: Workspace, as_of: date) -> dict[str, str]:
    """Which family came first for whom at the greatest `as_of` before this one."""
    folder = workspace.folder("reasons")
    before = [name for name in tables.names(folder) if name < as_of.isoformat()]
    if not before:
        return {}
    rows = tables.read(folder, made_by="explain", part=before[-1])
    first = rows[rows["direction"] == language.RAISES].sort_values(["customer_id", "rank"])
    first = first.drop_duplicates("customer_id")
    return dict(zip(first["customer_id"], first["family"], strict=True))


def _require_whom(settings: Settings) -> None:
    if settings.explain.what_if and not settings.customer:
        raise ConfigurationError(
            "explain.what_if=true is about one customer",
            got="no customer=",
            expected="customer=ID of somebody on the list",
            next_step="say for whom, for example `churn explain explain.what_if=true customer=ID`",
        )


def _require_scored(customer: str, scored: pd.Series) -> None:
    if customer in set(scored):
        return
    raise ConfigurationError(
        "customer= names nobody who was scored",
        got=customer,
        expected=f"an active customer; {nearest(customer, scored.tolist())}",
        next_step="look the id up in scores.parquet of the same as_of",
    )


def _tell(customer: str, rows: pd.DataFrame) -> None:
    if rows.empty:
        log.info("%s has no reasons: no family that may speak moves the risk enough", customer)
    for row in rows.itertuples():
        said = (customer, row.direction, row.contribution, row.sentence, row.evidence or "")
        log.info("%s %-7s %+.2f  %s %s", *said)


def _tell_what_if(
    settings: Settings,
    champion: Bundle,
    features: pd.DataFrame,
    said: Language,
    as_of: date,
) -> None:
    customer = str(settings.customer)
    ranked = roster.ranked(settings, as_of).rows
    if customer not in set(ranking.listed(ranked)["customer_id"]):
        log.info("%s is not on the list", customer)
        return
    panel = tables.read(settings.place / "panel", made_by="features")
    stayed = panel[panel["label"] == 0]
    which, below = what_if.off_below(ranked, customer, policy=settings.retain)
    columns_of = _actionable(settings, champion, said)
    asked = [name for names in columns_of.values() for name in names]
    target = what_if.normal(stayed[stayed["customer_id"] == customer], stayed, asked)
    facts = features[features["customer_id"] == customer]

    def risk(rows: pd.DataFrame) -> np.ndarray:
        return models.risks(champion.model, rows)[which].to_numpy(dtype=float)

    answer = what_if.smallest(facts, target, columns_of, risk=risk, below=below)
    log.info("%s %s", customer, what_if.in_words(answer, said) or NOTHING_TO_DO)
    weight = shapley.contributions(champion.model, facts).iloc[0].sort_values(ascending=False)
    for voice in answer.voices:
        loudest = [name for name in weight.index if name in columns_of[voice]][:N_STEPS]
        for words, now, then in what_if.steps(facts, target, loudest, champion.features):
            log.info("%s   %s: %s instead of %s", customer, words, then, now)


def _actionable(settings: Settings, champion: Bundle, said: Language) -> dict[str, list[str]]:
    """The columns that the model reads, by the voices that somebody can do something about."""
    read = {column.name for column in champion.model.columns}
    found = {}
    for voice in settings.explain.actionable:
        if voice not in said.voices:
            raise ConfigurationError(
                "explain.actionable names no family of reasons",
                got=voice,
                expected=nearest(voice, list(said.voices)),
                next_step="the names are the voices in conf/explain/sentences",
            )
        mine = [f.name for f in champion.features if f.family in said.voices[voice]]
        found[voice] = [name for name in mine if name in read]
    return found


def _importance(
    champion: Bundle, features: pd.DataFrame, workspace: Workspace, settings: Settings
) -> None:
    """Which features and families move the scores most, over an even sample of all scored customers:
    `importance.json` (feature → share of the mean |contribution|) and a picture by family."""
    from churn.io.lab import plots  # half a second that `customer=ID` does not need

    n = min(settings.explain.n_global, len(features))
    sample = features.iloc[np.unique(np.linspace(0, len(features) - 1, n).astype(int))]
    contributions = shapley.contributions(champion.model, sample)
    moved = contributions.abs().mean()
    shares = {str(name): float(share) for name, share in (moved / max(moved.sum(), 1e-12)).items()}
    tables.write_sealed(workspace.folder("reasons") / "importance.json", shares)
    strength = shapley.by_family(contributions, champion.features).abs().mean()
    tables.write_bytes(workspace.folder("reasons") / "importance.png", plots.families(strength))
