"""`churn compare`: two or more runs on the same customers at the same origins, paired."""

import logging

from churn.io import bundle, tables
from churn.io.lab import comparing, model_card, runs, store, tracking
from churn.learning import comparison
from churn.settings import Settings

log = logging.getLogger("churn")


def run(settings: Settings) -> None:
    """Write `WORKSPACE/compare/` (compare.md, compare.html, compare.png, compare.json), and an MLflow run.

    Raises `ConfigurationError` for runs that were not judged on the same rows.
    """
    chosen = runs.chosen(settings.place, settings.compare.runs)
    found = comparison.compared(
        {one.word: one.rows for one in chosen},
        list_share=settings.train.list_share,
        draws=settings.backtest.draws,
        seed=settings.seed,
    )
    text = comparing.text(found, chosen, runs.differences(chosen))
    picture = comparing.picture(found)
    files = {
        "compare.md": text.encode(),
        "compare.html": model_card.page(text, {"compare.png": picture}).encode(),
        "compare.png": picture,
        "compare.json": bundle.canonical(found).encode(),
    }
    folder = settings.place / "compare"
    for name, data in files.items():
        tables.write_bytes(folder / name, data)
    for line in text.splitlines():
        if line:
            log.info("%s", line)
    log.info("page: %s", folder / "compare.html")
    tracking.note(
        store.of(settings),
        name=f"compare: {' and '.join(found['won'])} against {found['first']}",
        parameters={"runs": " ".join(settings.compare.runs), "draws": settings.backtest.draws},
        figures={
            f"{name}.{key}_{end}": value
            for name, figures in found["pooled"]["differences"].items()
            for key, minus in figures.items()
            for end, value in minus.items()
            if value is not None
        },
        description=text,
        files=files,
    )
