"""Feature definitions as data: parsed, checked, and documented by themselves."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Feature:
    """One column of the panel.

    `expression` is SQL in the portable subset over one customer's days (`age_days` >= 1, counts,
    masks) or over columns of the customer. `sentence` documents it, `unit` is what it counts in,
    `family` is the group in which correlated features speak once, `kind` is number or category.
    """

    name: str
    sentence: str
    unit: str
    family: str
    expression: str
    kind: str = "number"
