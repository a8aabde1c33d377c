"""Messages → what they are about: TF-IDF and truncated SVD, learnt once and kept as plain numbers.

What a model knows of language is a `Topics`: it goes into the panel's facts and the model's
specification, so that a later week's messages are weighed by the same words. Weights are integers,
so that their sums depend on no order of rows and no number of threads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

SCALE = 1000
"""A message's weight in a topic is kept in 1/1000."""

MIN_CUSTOMERS = 5
"""A word is learnt only if this many customers used it: rarer ones teach nothing and may be names."""

MAX_TERMS = 2000
MAX_MESSAGES = 200_000
N_SHOWN = 3


@dataclass(frozen=True)
class Topics:
    """`terms` with their inverse document frequency; `components` are topics × terms."""

    terms: tuple[str, ...]
    idf: tuple[float, ...]
    components: tuple[tuple[float, ...], ...]

    @property
    def n(self) -> int:
        return len(self.components)


def fit(messages: pd.DataFrame, *, n_topics: int) -> Topics | None:
    """Learn from `messages` (customer_id, text; ordered); None where they share too few words.

    TF-IDF rows of unit length (Salton & Buckley 1988), then the truncated SVD of Deerwester et al.
    (1990). BLAS runs on one thread and the numbers are rounded, so that they are the same again.
    """
    if messages.empty:  # most logs; they need not wait for scikit-learn
        return None
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from threadpoolctl import threadpool_limits

    rows = messages.iloc[:: -(-len(messages) // MAX_MESSAGES) or 1]
    terms = _shared_terms(rows)
    if n_topics < 1 or len(terms) < 2:
        return None
    vectorizer = TfidfVectorizer(vocabulary=terms)
    weights = vectorizer.fit_transform(rows["text"])
    with threadpool_limits(limits=1, user_api="blas"):
        rank = np.linalg.matrix_rank((weights.T @ weights).toarray(), tol=1e-6, hermitian=True)
        n = min(n_topics, int(rank), len(terms) - 1)
        found = TruncatedSVD(n, algorithm="randomized", n_iter=20, random_state=0).fit(weights)
    return Topics(
        tuple(terms),
        tuple(round(float(x), 6) for x in vectorizer.idf_),
        tuple(tuple(round(float(x), 6) for x in row) for row in found.components_),
    )


def weights(topics: Topics, texts: Sequence[str]) -> pd.DataFrame:
    """How much each of `texts` speaks of each topic: text, topic_0 … (integers of 1/`SCALE`)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    frame = pd.DataFrame({"text": pd.Series(list(texts), dtype="str")})
    vectorizer = TfidfVectorizer(vocabulary=list(topics.terms))
    vectorizer.idf_ = np.array(topics.idf)
    found = vectorizer.transform(frame["text"]) if len(frame) else np.zeros((0, len(topics.terms)))
    scaled = np.rint(SCALE * (found @ np.array(topics.components).T)).astype("int64")
    return frame.assign(**{column(place): scaled[:, place] for place in range(topics.n)})


def column(place: int) -> str:
    return f"topic_{place}"


def shown(topics: Topics, place: int) -> str:
    """The words that weigh most in a topic, for the feature's sentence."""
    order = np.argsort(-np.abs(np.array(topics.components[place])), kind="stable")
    return ", ".join(topics.terms[k] for k in order[:N_SHOWN])


def to_spec(topics: Topics) -> dict[str, Any]:
    return asdict(topics)


def from_spec(spec: Mapping[str, Any]) -> Topics | None:
    """The topics of a vocabulary; None for one without."""
    if not spec:
        return None
    components = tuple(tuple(row) for row in spec["components"])
    return Topics(tuple(spec["terms"]), tuple(spec["idf"]), components)


def _shared_terms(messages: pd.DataFrame) -> list[str]:
    """The words that at least `MIN_CUSTOMERS` customers used, the commonest `MAX_TERMS`, sorted."""
    from scipy import sparse
    from sklearn.feature_extraction.text import CountVectorizer

    if messages["customer_id"].nunique() < MIN_CUSTOMERS:
        return []
    counter = CountVectorizer(binary=True, token_pattern=r"(?u)\b[^\W\d_]{2,}\b")  # noqa: S106
    try:
        found = counter.fit_transform(messages["text"])
    except ValueError:  # scikit-learn's way to say that there is no word at all
        return []
    customers = pd.factorize(messages["customer_id"])[0]
    who = sparse.csr_matrix((np.ones(len(messages)), (customers, np.arange(len(messages)))))
    n_customers = np.asarray(((who @ found) > 0).sum(axis=0)).ravel()
    order = np.argsort(-n_customers, kind="stable")[:MAX_TERMS]
    names = counter.get_feature_names_out()
    return sorted(str(names[k]) for k in order if n_customers[k] >= MIN_CUSTOMERS)
