"""Anybody's classifiers: what other installed packages offer under the entry-point group."""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from churn.errors import ConfigurationError
from churn.learning.titles import TITLES

GROUP = "churn.models"
"""Each entry names a scikit-learn classifier, or a function without arguments that makes one."""


def found() -> dict[str, Callable[[], Any]]:
    """Makers of unfitted classifiers by name, sorted; raises `ConfigurationError` for other things."""
    return {entry.name: _maker(entry) for entry in sorted(entry_points(group=GROUP))}


def _maker(entry: Any) -> Callable[[], Any]:
    what = f"entry point {entry.name} of {GROUP}"
    if entry.name in TITLES:
        raise ConfigurationError(
            f"{what} has a name that is taken",
            got=entry.name,
            expected=f"another name than {', '.join(TITLES)}",
            next_step=f"rename it in the package that offers {entry.value}",
        )
    try:
        make = entry.load()
        classifier = make()
    except (ImportError, AttributeError, TypeError) as error:
        raise _refused(what, entry.value, str(error)) from error
    if not (hasattr(classifier, "fit") and hasattr(classifier, "predict_proba")):
        raise _refused(what, entry.value, f"{type(classifier).__name__} without fit, predict_proba")
    return make  # type: ignore[no-any-return]


def _refused(what: str, value: str, got: str) -> ConfigurationError:
    return ConfigurationError(
        f"{what} makes no classifier",
        got=f"{value}: {got}",
        expected="a class or function that, called without arguments, gives a scikit-learn "
        "classifier with fit and predict_proba",
        next_step="correct or uninstall the package that offers it",
    )
