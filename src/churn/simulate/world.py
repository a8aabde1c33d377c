"""Every knob of the simulated product."""

from dataclasses import dataclass, field


@dataclass
class Segments:
    """What differs between smb, mid and ent; every list in that order."""

    names: list[str] = field(default_factory=lambda: ["smb", "mid", "ent"])
    share: list[float] = field(default_factory=lambda: [0.62, 0.28, 0.10])
    log_seats_mean: list[float] = field(default_factory=lambda: [1.0, 2.4, 3.9])
    log_seats_sd: list[float] = field(default_factory=lambda: [0.7, 0.8, 1.0])
    annual_share: list[float] = field(default_factory=lambda: [0.20, 0.50, 0.82])
    api_share: list[float] = field(default_factory=lambda: [0.06, 0.18, 0.35])
    mood_mean: list[float] = field(default_factory=lambda: [0.05, 0.15, 0.25])
    persuadable_factor: list[float] = field(default_factory=lambda: [1.15, 1.0, 0.7])


@dataclass
class Traits:
    """Drawn once per customer and never changed."""

    mood_sd: float = 0.5
    usage_level_sd: float = 0.9
    frailty_sd: float = 0.5
    adoption_cap_alpha: float = 3.0
    adoption_cap_beta: float = 2.0
    log_error_sensitivity_sd: float = 0.6
    persuadable_alpha: float = 1.6
    persuadable_beta: float = 2.2
    dog_share: float = 0.12
    dog_factor_low_usage: float = 2.4
    dog_factor_other: float = 0.45
    dog_low_usage_below: float = -0.4


@dataclass
class Contract:
    """Sign-up, plan and price; the second half is where the equations are silent."""

    before_start_share: float = 0.48
    age_weeks_mean: float = 55.0
    plans: list[str] = field(default_factory=lambda: ["basic", "pro", "enterprise"])
    price_seat_month: list[float] = field(default_factory=lambda: [15.0, 29.0, 49.0])
    log_discount_mean: float = -0.1
    log_discount_sd: float = 0.2
    currency: str = "EUR"
    plan_unlike_segment_share: float = 0.12
    seat_change_week: float = 0.008
    plan_change_week: float = 0.0015
    seat_change_share: float = 0.2
    annual_price_rise: float = 0.03
    customers_per_owner: int = 1300


@dataclass
class Dynamics:
    """The weekly latent process."""

    incident_week: float = 0.10
    burst_per_sensitivity: float = 0.012
    burst_in_incident: float = 0.30
    burst_shape: float = 2.0
    burst_scale: float = 0.30
    ticket_base: float = 0.02
    ticket_per_root_seat: float = 0.006
    ticket_in_burst: float = 0.35
    ticket_unhappy: float = 0.035
    ticket_bad_share: float = 0.35
    mood_memory: float = 0.93
    mood_bad_ticket: float = -0.40
    mood_good_ticket: float = 0.08
    mood_champion_left: float = -1.3
    mood_noise: float = 0.22  # a standard deviation, as is noise_sd of usage
    noise_degrees: float = 4.0
    champion_leaves_week: float = 0.003
    grievance_memory: float = 0.82
    grievance_bad_ticket: float = 0.40
    adoption_speed: float = 0.05
    adoption_mood_slope: float = 1.5
    adoption_loss: float = 0.012
    adoption_loss_mood_below: float = -1.0
    outside_on_week: float = 0.004
    outside_off_week: float = 0.10
    payment_failure: float = 0.025
    payment_failure_annual_factor: float = 0.3
    payment_failure_weeks: int = 2
    # Silent in the equations: where a customer starts, and when a new champion is found.
    mood_start_sd: float = 0.25
    adoption_start_share: float = 0.35
    champion_found_week: float = 0.06
    burn_in_weeks: int = 60
    start_rounds: int = 1


@dataclass
class Hazard:
    """Terms of the weekly log-odds of leaving."""

    intercept: list[float] = field(default_factory=lambda: [-5.65, -6.15, -6.7])
    satisfaction: float = -1.6
    adoption: float = -1.2
    adoption_centre: float = 0.4
    newcomer: float = 0.9
    newcomer_weeks: float = 6.0
    outside: float = 2.8
    monthly_billing_week: float = 0.9
    monthly_other: float = -0.45
    annual_renewal_weeks: float = 2.9
    annual_other: float = -1.3
    payment_failed: float = 1.4
    season: float = 0.12
    season_weeks: float = 52.0


@dataclass
class Effect:
    """What a contact changes in the log-odds, and the past campaigns that show it."""

    weeks: int = 8
    persuasion: float = -1.7
    floor: float = 0.2
    grievance_share: float = 0.8
    grievance_slope: float = 2.5
    grievance_centre: float = 0.45
    outside_damping: float = 0.9
    dog: float = 0.9
    campaign_share: float = 0.06
    campaign_weeks: list[int] = field(default_factory=lambda: [6, 14, 22, 30, 38, 46])


@dataclass
class Usage:
    """Events per day; below the first block the equations are silent."""

    seats_exponent: float = 0.75
    satisfaction: float = 0.30
    adoption: float = 0.7
    noise_memory: float = 0.5
    noise_sd: float = 0.45  # of the AR(1) process, not of its innovation
    noise_degrees: float = 4.0
    quiet: float = -2.4
    quiet_week: float = 0.012
    quiet_weeks_max: int = 3
    champion_left: float = -0.9
    newcomer_factor: float = 1.6
    newcomer_weeks: int = 2
    day_shape: float = 0.9
    advanced_exponent: float = 1.5
    holiday_weeks: list[int] = field(default_factory=lambda: [0, 30, 31, 32, 51])

    holiday_factor: list[float] = field(default_factory=lambda: [0.55, 0.8, 0.75, 0.8, 0.45])
    log_rate: list[float] = field(default_factory=lambda: [-1.4, -2.0, -2.8])
    log_rate_max: float = 5.5
    season_sd: float = 0.2
    weekday_factor: list[float] = field(
        default_factory=lambda: [1.05, 1.1, 1.1, 1.05, 0.9, 0.25, 0.2]
    )
    log_api_rate_mean: float = 0.2
    log_api_rate_sd: float = 0.7
    advanced_weight: float = 0.8
    error_share: float = 0.012
    errors_per_burst_size: float = 8.0
    log_person_sd: float = 1.0
    person_leaves_week: float = 0.005
    person_leaves_mood_slope: float = -1.0
    person_joins_week: float = 0.02
    arrival_minutes_mean_log: float = 2.5
    arrival_minutes_sd_log: float = 1.0


@dataclass
class Defects:
    """What goes wrong in real logs; all off. `broken_line_share` is applied by who writes lines."""

    duplicate_share: float = 0.0
    late_share: float = 0.0
    late_days_max: int = 14
    outage_day: int = -1
    outage_event: str = "core_action"
    skewed_customer_share: float = 0.0
    skew_hours: float = 3.0
    n_bots: int = 0
    bot_events_day: int = 200
    n_testers: int = 0
    tester_events_day: int = 20
    broken_line_share: float = 0.0
    formula_name_share: float = 0.0


@dataclass
class World:
    """Every constant of the simulated product. `start` must be a Monday."""

    n_customers: int = 20_000
    n_weeks: int = 64
    start: str = "2025-01-06"
    segments: Segments = field(default_factory=Segments)
    traits: Traits = field(default_factory=Traits)
    contract: Contract = field(default_factory=Contract)
    dynamics: Dynamics = field(default_factory=Dynamics)
    hazard: Hazard = field(default_factory=Hazard)
    effect: Effect = field(default_factory=Effect)
    usage: Usage = field(default_factory=Usage)
    defects: Defects = field(default_factory=Defects)
