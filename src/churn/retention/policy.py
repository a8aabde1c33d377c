"""What a team decides about its list: whom, how many, for how long, and what is tried."""

from dataclasses import dataclass, field

from churn.errors import ConfigurationError, between, nearest

POLICIES = ("risk", "value", "risk_value", "risk_value_effect")
"""What the order can be by; see `ranking.ranked`."""


@dataclass
class Play:
    """What to try for a family of reasons: the play, a talking point, the channel to use."""

    play: str
    talking_point: str = ""
    channel: str = ""


@dataclass
class Policy:
    """How the list is cut and ordered (conf/retain).

    `policy` is one of `POLICIES`, what the order is by. `save_rate` is the share of contacted
    customers who would have left and stay, `contact_cost` the cost of one contact in the currency of
    the value. Where there are owners each has room for `capacity_per_owner` (`capacities` for some
    of them), else the list holds `capacity_share` of the active, at least `capacity_min`. A value
    beyond `value_cap` times the 99th percentile of all values counts as that much.

    The order uses the mean of the scores at `as_of` and every seven days before, `smooth_weeks` in
    all, or that of `as_of` where it is higher; who is listed stays until the place exceeds `leave_at`
    times the room. After a contact a customer rests for `cool_down_days`, after "not now" for
    `snooze_days`; `do_not_contact` are ids never listed. Who is known for fewer than
    `judge_after_days` days cannot be judged yet.

    `holdout` is the share held out, `pilot` how much of the room around the cut is drawn at random;
    `always` are accounts that are always listed when they qualify, and never counted.
    """

    policy: str = "risk_value"
    save_rate: float = 0.2
    contact_cost: float = 0.0
    capacity_per_owner: int = 15
    capacities: dict[str, int] = field(default_factory=dict)
    capacity_share: float = 0.02
    capacity_min: int = 10
    value_cap: float = 10.0
    smooth_weeks: int = 3
    leave_at: float = 1.5
    cool_down_days: int = 28
    snooze_days: int = 28
    do_not_contact: list[str] = field(default_factory=list)
    judge_after_days: int = 14
    holdout: float = 0.1
    pilot: float = 0.0
    always: list[str] = field(default_factory=list)
    demo_key: str = ""
    plays: dict[str, Play] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ConfigurationError(
                "retain.policy is no way to order a list",
                got=self.policy,
                expected=nearest(self.policy, list(POLICIES)),
                next_step=f"choose one of {', '.join(POLICIES)}",
            )
        for name, (low, high) in RANGES.items():
            between(f"retain.{name}", getattr(self, name), low, high)
        for owner, room in self.capacities.items():
            between(f"retain.capacities, the room of {owner},", room, *RANGES["capacity_per_owner"])


RANGES = {
    "save_rate": (0, 1),
    "contact_cost": (0, 1e12),
    "capacity_per_owner": (0, 1e9),
    "capacity_share": (0, 1),
    "capacity_min": (0, 1e9),
    "value_cap": (1, 1e6),
    "smooth_weeks": (1, 13),
    "leave_at": (1, 10),
    "cool_down_days": (0, 3650),
    "snooze_days": (0, 3650),
    "judge_after_days": (0, 3650),
    "holdout": (0, 0.5),
    "pilot": (0, 0.5),
}
