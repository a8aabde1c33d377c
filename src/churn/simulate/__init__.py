"""A product whose true churn hazards are known: the demo input, and a measuring stick for models.

A latent process moves in weeks, events fall on days. One `step` drives the world, shape (N,), and
the Monte-Carlo oracle, shape (B, N). Every constant is a knob of `World`; those of the published
equations stand in `conf/source/demo.yaml` too, and a test holds them still.

Every draw comes from a stream named by (purpose, week). That is what lets the oracle replay the
latent process up to a week without emitting one event, and lets a defect be switched on without
moving a single clean event.

Read in the order of the data: `world` knobs, `draws` random streams, `clock`, `static` who the
customers are, `terms` what dates mean for them, `process` the latent step and its hazard, `market`
contracts, `contacting` a team with a list, `moments` a week without events, `true_risk` the
oracle, `events`, `habits` and `usage` what logs show, `defects`, `sides` the other tables, `stream`
all of it week by week.

Nothing here reads or writes a file, or knows what day it is today.
"""

from churn.simulate.contacting import Contacting
from churn.simulate.events import EVENTS, TEXTS, Rows
from churn.simulate.habits import Crowd, Habits
from churn.simulate.market import Book
from churn.simulate.moments import Moment
from churn.simulate.process import Shocks, State, contact_effect, log_odds, population, step
from churn.simulate.sides import customers, owners
from churn.simulate.static import Static, customer_ids
from churn.simulate.stream import Week, simulate
from churn.simulate.terms import Calendar, calendar
from churn.simulate.true_risk import oracle, oracle_by_week
from churn.simulate.world import (
    Contract,
    Defects,
    Dynamics,
    Effect,
    Hazard,
    Segments,
    Traits,
    Usage,
    World,
)

__all__ = [
    "EVENTS",
    "TEXTS",
    "Book",
    "Calendar",
    "Contacting",
    "Contract",
    "Crowd",
    "Defects",
    "Dynamics",
    "Effect",
    "Habits",
    "Hazard",
    "Moment",
    "Rows",
    "Segments",
    "Shocks",
    "State",
    "Static",
    "Traits",
    "Usage",
    "Week",
    "World",
    "calendar",
    "contact_effect",
    "customer_ids",
    "customers",
    "log_odds",
    "oracle",
    "oracle_by_week",
    "owners",
    "population",
    "simulate",
    "step",
]
