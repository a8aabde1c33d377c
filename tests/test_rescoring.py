"""Scores range by range: what is kept of a range of customers is no more than its scores."""

import pyarrow as pa

from churn.io.modelling import rescoring
from churn.learning.calibration import Calibration
from churn.learning.models import Model


def test_the_ids_that_are_kept_are_no_part_of_what_the_engine_gave() -> None:
    """One buffer of a batch of DuckDB keeps all its columns: 2 GB of half a million customers."""
    ids = [f"customer {number:09d}" for number in range(1_000)]
    piece = pa.table({"snapshot": pa.array([0] * 1_000, pa.date32()), "customer_id": ids})
    found = rescoring.risks_of(Model((), None, None, Calibration((), 0.0)), piece)
    assert found["customer_id"].tolist() == ids
    assert not addresses(pa.array(found["customer_id"])) & addresses(piece["customer_id"].chunk(0))


def addresses(array: pa.Array) -> set[int]:
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    return {buffer.address for chunk in chunks for buffer in chunk.buffers() if buffer}
