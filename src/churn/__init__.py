"""churn: from usage logs to a short list of customers worth contacting.

>>> import churn
>>> churn.open("data")  # doctest: +SKIP
Workspace('data')
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from churn.io.handle import Handle


def open(workspace: str) -> "Handle":
    """A read-only handle on a workspace, whose tables come as pandas DataFrames."""
    from churn.io.handle import Handle

    return Handle(workspace)
