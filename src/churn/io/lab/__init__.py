"""Trained models as people compare them: runs, searches, MLflow, cards, pictures."""
