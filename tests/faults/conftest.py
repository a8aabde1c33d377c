"""One prepared workspace for all of the fault suite."""

from collections.abc import Iterator

import pytest
from weeks import Prepared, forking, prepared


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    """The workspace that every fault is tried on a copy of."""
    scratch = tmp_path_factory.mktemp("faults")
    with forking(scratch) as forks:
        yield prepared(scratch, forks)
