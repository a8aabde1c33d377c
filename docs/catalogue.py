"""Prints the feature catalogue (docs/features.md); `make catalogue` writes it.

    python docs/catalogue.py [my_features.yaml ...]

With files of your own (as in features.more) their features stand in it too.
"""

import sys
from collections.abc import Sequence

import yaml

from churn.conf_tree import CONF
from churn.features import definitions
from churn.features.vocabulary import NEEDS, Vocabulary
from churn.settings import FeatureSettings, Settings, feature_documents


def page(more: Sequence[str] = ()) -> str:
    """Every default feature, for a log that has everything and one event type named `login`."""
    vocabulary = Vocabulary(
        windows=FeatureSettings().windows,
        event_types=["login"],
        roles={"error": ["error"], "support": ["ticket"], "payment_failed": ["payment_failed"]},
        available=NEEDS,
        static={"segment": "category"},
        dates=["holiday"],
        tastes={"items": ["tea", "ink"], "weights": [[700, 200]]},
        topics={"terms": ["outage", "wait"], "idf": [1.0, 1.0], "components": [[0.8, 0.6]]},
    )
    asked = Settings(features=FeatureSettings(more=list(more)))
    features = definitions.expand(feature_documents(asked), vocabulary)
    default = yaml.safe_load((CONF / "features" / "default.yaml").read_text())
    return definitions.catalogue(features, off=default["without"])


if __name__ == "__main__":
    print(page(sys.argv[1:]))
