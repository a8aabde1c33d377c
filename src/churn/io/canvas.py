"""The style of every picture, as PNG bytes: the same figures give the same bytes."""

from io import BytesIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
}
MODEL, RIVAL, QUIET = "#0b5fa5", "#d1701c", "#8a8a8a"


def blank(title: str, *, height: float) -> tuple[Figure, Axes]:
    """A figure of one picture in the style of all."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_title(title, pad=22 if height > 5 else 10)
    return figure, axes


def note(axes: Axes, text: str) -> None:
    """A line of grey text between title and picture."""
    axes.annotate(
        text, (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points", color="#555555"
    )


def png(figure: Figure) -> bytes:
    """PNG bytes without the name and version of the program that drew them."""
    target = BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(target, format="png", dpi=110, metadata={"Software": None})
    return target.getvalue()
