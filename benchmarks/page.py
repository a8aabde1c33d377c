"""How fast the page of a long list is, in the machine's own browser.

    python benchmarks/page.py [CUSTOMERS ...]      (default 100 1000 5000)

Needs the extra `test` and a Chromium. The list is the one of the tests, with every detail filled.
Prints the size of the page, the seconds to write it and to open it, and the milliseconds from a key
press to the page laid out anew: median and slowest over `ROUNDS` rounds of `browsers.WORDS`.
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

from churn.io.page import page_html

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
    spent = [ms for _ in range(ROUNDS) for ms in page.evaluate(browsers.TYPING, browsers.WORDS)]
    page.close()
    return (
        f"| {n_customers:,} | {len(text.encode()) / 1e6:.1f} | {written:.1f} | {loaded:.1f} "
        f"| {statistics.median(spent):.0f} | {max(spent):.0f} |"
    )


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:]] or [100, 1000, 5000]
    print("| customers | MB | s to write (CPU) | s to open | ms a key, median | slowest |")
    print("| --- | --- | --- | --- | --- | --- |")
    with browsers.started() as browser, tempfile.TemporaryDirectory() as folder:
        for n_customers in sizes:
            print(measured(browser, n_customers, Path(folder)))


if __name__ == "__main__":
    main()
