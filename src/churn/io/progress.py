"""Progress bars where a person watches and it takes a while; silence otherwise."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def watched(items: Iterable[T], *, total: int | None = None, what: str = "") -> Iterator[T]:
    """`items`, with a bar on a terminal when they take longer than two seconds."""
    yield from tqdm(
        items, total=total, desc=what, delay=2, leave=False, disable=not sys.stderr.isatty()
    )
