"""The machine's own Chromium, driven by Playwright; nothing is downloaded."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
EXECUTABLE = os.environ.get("CHURN_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def started() -> Iterator[Any]:
    """A running browser; skips where there is none, or no Playwright."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright (the extra test) is not installed"
    )
    if EXECUTABLE is None:
        pytest.skip("there is no Chromium on this machine; CHURN_BROWSER names one elsewhere")
    with playwright.sync_playwright() as driver:
        # As root there is no sandbox to be had; the pages are our own.
        options = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = driver.chromium.launch(executable_path=EXECUTABLE, args=options)
        yield browser
        browser.close()


WORDS = ("t", "ti", "tid", "tida", "tidal", "", "12 seats", "priya", "zzz", "")
TYPED = """(word) => {
  const search = document.getElementById("q");
  const start = performance.now();
  search.value = word;
  search.dispatchEvent(new Event("input"));
  document.body.getBoundingClientRect();  // the layout belongs to it
  return performance.now() - start;
}"""


def typing(page: Any) -> Iterator[tuple[float, float]]:
    """Each of `WORDS` into the search field: milliseconds of CPU that the page's thread needed, all
    that it does included, and milliseconds on the clock to the page laid out anew."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def thread_ms() -> float:
        found = session.send("Performance.getMetrics")["metrics"]
        return 1000 * float(next(one["value"] for one in found if one["name"] == "ThreadTime"))

    for word in WORDS:
        before = thread_ms()
        waited = page.evaluate(TYPED, word)
        yield thread_ms() - before, waited
