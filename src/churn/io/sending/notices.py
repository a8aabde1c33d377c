"""A short notice to whatever service an Apprise URL names; the URL holds a secret and is never shown."""

import importlib
import logging
import warnings
from typing import Any

from churn.errors import ConfigurationError, MachineError
from churn.io import secret


def require(variables: list[str]) -> None:
    """Raise `ConfigurationError` before any work for a variable without a usable URL."""
    for name in variables:
        _service(name)


def send(variable: str, *, title: str, text: str) -> None:
    """Tell the service that environment variable `variable` names.

    Raises `ConfigurationError` for a URL that is none, `MachineError` where the service does not
    take the notice; neither shows the URL.
    """
    if not _service(variable).notify(title=title, body=text):
        raise MachineError(
            f"the service that {variable} names did not take the notice",
            got="no confirmation (what it said may hold the secret and is not shown)",
            expected="a service that answers",
            next_step=f"check the URL in {variable}, and the service",
        )


def _service(variable: str) -> Any:
    given = secret.read(variable).strip()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # its plugins load what is on its way out
        service = _library().Apprise()
        is_known = bool(given) and service.add(given)
    if not is_known:
        raise ConfigurationError(
            f"the environment variable {variable} holds no Apprise URL",
            got="nothing" if not given else f"{len(given)} characters (not shown: a secret)",
            expected="a URL as Apprise has it, such as slack://… or mailto://…",
            next_step=f"export {variable}=…, or leave it out of deliver.notify",
        )
    return service


def _library() -> Any:
    try:
        apprise = importlib.import_module("apprise")
    except ImportError:
        raise ConfigurationError(
            "deliver.notify needs Apprise",
            got="no package apprise",
            expected="the extra notify",
            next_step="pip install 'churn[notify]'",
        ) from None
    # Its messages name URLs; ours say what happened.
    quiet = logging.getLogger("apprise")
    quiet.propagate = False
    quiet.handlers = [logging.NullHandler()]
    return apprise
