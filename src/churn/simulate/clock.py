"""Days and microseconds from `World.start`, as dates and times."""

import numpy as np
import pyarrow as pa

from churn.simulate.draws import Array
from churn.simulate.world import World

DAY_US = 86_400_000_000
MINUTE_US = 60_000_000


def dates_of(world: World, day: Array) -> Array:
    """Days from `World.start` as dates."""
    return np.datetime64(world.start, "D") + day


def times_of(world: World, us: Array) -> pa.Array:
    """Microseconds from `World.start` as times."""
    return pa.array(np.datetime64(world.start, "us") + us)
