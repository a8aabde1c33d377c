"""Somebody who looks at what is published all the time, and believes what the manifest says."""

import threading
from pathlib import Path

from churn.io import revisions


class Reader:
    """Polls `published/` from a thread until it is told to stop; `wrong` is what it could not believe."""

    def __init__(self, published: Path) -> None:
        self._published = published
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.seen: list[str] = []
        self.wrong: list[str] = []
        self.n_polls = 0

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(0.004):
            self.n_polls += 1
            try:
                place = revisions.current(self._published)
                if place is None:
                    continue
                as_of = revisions.verify(place)["as_of"]
                assert place.parent.name == as_of, f"{place} is of {as_of}"
            except Exception as error:  # noqa: BLE001 - whatever a reader meets is a finding
                self.wrong.append(repr(error))
            else:
                name = place.relative_to(self._published).as_posix()
                if self.seen[-1:] != [name]:
                    self.seen.append(name)
