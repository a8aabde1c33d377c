"""Whom to contact, in which order."""

from dataclasses import dataclass


@dataclass
class Policy:
    """How the list is cut and ordered.

    `save_rate` is the share of contacted customers who would have left and stay, `contact_cost` the
    cost of one contact in the currency of the value. Where there are owners each has room for
    `capacity_per_owner`, else the list holds `capacity_share` of the active, at least
    `capacity_min`.
    """

    save_rate: float = 0.2
    contact_cost: float = 0.0
    capacity_per_owner: int = 15
    capacity_share: float = 0.02
    capacity_min: int = 10
