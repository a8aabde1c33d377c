"""How property tests run: no deadline on a shared machine, and the same examples every time.

CHURN_EXAMPLES=300 searches further (at random); CHURN_SHRINK=1 makes a failure smaller, which takes
minutes where one example takes a second.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

# Before LightGBM is loaded, as the command line does: on busy cores waiting threads must sleep.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

SHRINK = [Phase.shrink] if os.environ.get("CHURN_SHRINK") else []

settings.register_profile(
    "churn",
    deadline=None,
    derandomize="CHURN_EXAMPLES" not in os.environ,
    database=None,
    phases=[Phase.explicit, Phase.generate, *SHRINK],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("churn")


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    """A `postgres.Server`; skips where there are no binaries."""
    from postgres import started

    with started() as found:
        yield found


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A workspace of a whole product (see `products.made`); nobody changes it."""
    from products import made

    return made(tmp_path_factory.mktemp("product"))
