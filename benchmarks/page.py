"""How fast the page of a long list is, in the machine's own browser.

    python benchmarks/page.py [CUSTOMERS ...]      (default 100 1000 5000)

Needs the extra `test` and a Chromium. The list is the one of the tests, with every detail filled.
Prints the size of the page, the seconds to write it and to open it, and for a key press in the search
field the CPU milliseconds of the page's thread (median and slowest over `ROUNDS` rounds of
`browsers.WORDS`) and the median of those on the clock until it is laid out anew.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import browsers
from handouts import sample

from churn.io.documents.page import page_html

ROUNDS = 5


def measured(browser: Any, n_customers: int, folder: Path) -> str:
    """One row of the table."""
    listing = sample(n_customers)
    start = time.process_time()
    text = page_html(listing)
    written = time.process_time() - start
    path = folder / f"{n_customers}.html"
    path.write_text(text)
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    start = time.perf_counter()
    page.goto(path.as_uri())
    loaded = time.perf_counter() - start
    spent = [pair for _ in range(ROUNDS) for pair in browsers.typing(page)]
    page.close()
    cpu, clock = zip(*spent, strict=True)
    return (
        f"| {n_customers:,} | {len(text.encode()) / 1e6:.1f} | {written:.1f} | {loaded:.1f} "
        f"| {statistics.median(cpu):.0f} | {max(cpu):.0f} | {statistics.median(clock):.0f} |"
    )


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:]] or [100, 1000, 5000]
    print("| customers | MB | s to write (CPU) | s to open | CPU ms a key, median | slowest | ms |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with browsers.started() as browser, tempfile.TemporaryDirectory() as folder:
        for n_customers in sizes:
            print(measured(browser, n_customers, Path(folder)))


if __name__ == "__main__":
    main()
