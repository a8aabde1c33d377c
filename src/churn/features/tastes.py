"""Which items a customer's events are about → factors: truncated SVD of customers × items, learnt once.

What a model knows of items is a `Tastes`: it goes into the panel's facts and the model's
specification, as `features.topics` does for messages. Weights are integers, so that their sums depend
on no order of rows and no number of threads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

SCALE = 1000
"""An item's weight in a factor is kept in 1/1000."""

MIN_CUSTOMERS = 10
"""An item is learnt only if this many customers had it."""

MAX_ITEMS = 2000
MAX_CUSTOMERS = 50_000
N_SHOWN = 3


@dataclass(frozen=True)
class Tastes:
    """`items` and what each weighs in each factor: `weights` are factors × items, in 1/`SCALE`."""

    items: tuple[str, ...]
    weights: tuple[tuple[int, ...], ...]

    @property
    def n(self) -> int:
        return len(self.weights)


def fit(had: pd.DataFrame, *, n_tastes: int) -> Tastes | None:
    """Learn from `had` (customer_id, item: each pair once, ordered); None where items are not shared.

    Rows are customers of unit length, an item counts the more the fewer customers have it (inverse
    document frequency), then the truncated SVD of Deerwester et al. (1990). BLAS runs on one thread
    and the numbers are rounded, so that they are the same again.
    """
    from scipy import sparse
    from sklearn.decomposition import TruncatedSVD
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits

    items = _shared_items(had)
    if n_tastes < 1 or len(items) < 2:
        return None
    used = had[had["item"].isin(items)]
    used = used[pd.factorize(used["customer_id"])[0] % _every(used["customer_id"]) == 0]
    who, customers = pd.factorize(used["customer_id"])
    place = used["item"].map({item: k for k, item in enumerate(items)}).to_numpy()
    n = len(customers)
    idf = np.log(n / np.maximum(np.bincount(place, minlength=len(items)), 1)) + 1
    matrix = normalize(sparse.csr_matrix((idf[place], (who, place)), shape=(n, len(items))))
    with threadpool_limits(limits=1, user_api="blas"):
        k = min(n_tastes, len(items) - 1, n - 1)
        found = TruncatedSVD(k, algorithm="randomized", n_iter=20, random_state=0).fit(matrix)
    scaled = np.rint(SCALE * found.components_ * idf).astype(int)
    return Tastes(tuple(items), tuple(tuple(int(x) for x in row) for row in scaled))


def weights(tastes: Tastes) -> pd.DataFrame:
    """What each item weighs: item, taste_0 … (integers of 1/`SCALE`)."""
    frame = pd.DataFrame({"item": pd.Series(tastes.items, dtype="str")})
    return frame.assign(**{column(k): np.array(row) for k, row in enumerate(tastes.weights)})


def column(place: int) -> str:
    return f"taste_{place}"


def shown(tastes: Tastes, place: int) -> str:
    """The items that weigh most in a factor, for the feature's sentence."""
    order = np.argsort(-np.abs(np.array(tastes.weights[place])), kind="stable")
    return ", ".join(tastes.items[k] for k in order[:N_SHOWN])


def to_spec(tastes: Tastes) -> dict[str, Any]:
    return asdict(tastes)


def from_spec(spec: Mapping[str, Any]) -> Tastes | None:
    """The tastes of a vocabulary; None for one without."""
    if not spec:
        return None
    return Tastes(tuple(spec["items"]), tuple(tuple(row) for row in spec["weights"]))


def _every(customers: pd.Series) -> int:
    """1 of so many customers is learnt from, evenly spaced."""
    return int(-(-customers.nunique() // MAX_CUSTOMERS))


def _shared_items(had: pd.DataFrame) -> Sequence[str]:
    """The items that at least `MIN_CUSTOMERS` customers had, the commonest `MAX_ITEMS`, sorted."""
    counts = had.groupby("item", sort=True)["customer_id"].nunique()
    shared = counts[counts >= MIN_CUSTOMERS].sort_values(ascending=False, kind="stable")
    return sorted(map(str, shared.index[:MAX_ITEMS]))
