"""Prints the feature catalogue (docs/features.md); `make catalogue` writes it."""

from churn.features import definitions
from churn.features.definitions import NEEDS, Vocabulary
from churn.settings import FeatureSettings, Settings, feature_documents


def page() -> str:
    """Every default feature, for a log that has everything and one event type named `login`."""
    vocabulary = Vocabulary(
        windows=FeatureSettings().windows,
        event_types=["login"],
        roles={"error": ["error"], "support": ["ticket"], "payment_failed": ["payment_failed"]},
        available=NEEDS,
        static={"segment": "category"},
        topics={"terms": ["outage", "wait"], "idf": [1.0, 1.0], "components": [[0.8, 0.6]]},
    )
    features = definitions.expand(feature_documents(Settings()), vocabulary)
    return definitions.catalogue(features)


if __name__ == "__main__":
    print(page())
