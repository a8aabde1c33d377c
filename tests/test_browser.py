"""The page in a real browser: what people do with it, how fast, and what never runs."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import browsers
import pytest
from handouts import OWNERS, PAYLOADS, everywhere, sample

from churn.io import wording
from churn.io.documents.draft import draft
from churn.io.documents.handout import Listing, records
from churn.io.documents.page import page_html

pytestmark = pytest.mark.xdist_group("browser")

FILTER_MS = 100


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsers.started() as found:
        yield found


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open a listing from a file, as people do, in a window of `size`; no error and no request."""
    windows, noise = [], []

    def open_(listing: Listing, *, size: tuple[int, int] = (1440, 900)) -> Any:
        path = tmp_path / "retention_list.html"
        path.write_text(page_html(listing))
        window = browser.new_context(viewport={"width": size[0], "height": size[1]})
        windows.append(window)
        window.grant_permissions(["clipboard-read", "clipboard-write"])
        page = window.new_page()
        page.on("pageerror", lambda error: noise.append(str(error)))
        page.on("console", lambda said: noise.append(said.text))
        page.on("dialog", lambda dialog: (noise.append(dialog.message), dialog.dismiss()))
        page.on(
            "request", lambda asked: noise.append(asked.url) if asked.url != path.as_uri() else None
        )
        page.goto(path.as_uri())
        return page

    yield open_
    for window in windows:
        window.close()
    assert noise == []


LISTING = sample()
ROWS = records(LISTING)


def names(page: Any) -> list[str]:
    """The customers on show, from the top."""
    return page.locator("main > table tbody tr:visible .open").all_inner_texts()


def who(row: dict[str, Any]) -> str:
    return str(row["customer_name"] or row["customer_id"])


def test_sorting_by_a_heading_and_back(opened: Callable[..., Any]) -> None:
    page = opened(LISTING)
    assert names(page) == [who(row) for row in ROWS]
    risk = page.get_by_role("columnheader", name="Risk")
    risk.get_by_role("button").click()
    assert names(page) == [who(row) for row in sorted(ROWS, key=lambda row: -row["risk"])]
    assert risk.get_attribute("aria-sort") == "descending"
    risk.get_by_role("button").click()
    assert names(page) == [who(row) for row in sorted(ROWS, key=lambda row: row["risk"])]
    page.locator("th.rank button").click()
    assert names(page) == [who(row) for row in ROWS]


@pytest.mark.parametrize("key", ["owner", "is:segment", "is:plan", "status", "family"])
def test_each_filter_leaves_whom_it_names(opened: Callable[..., Any], key: str) -> None:
    page = opened(LISTING)
    select = page.locator(f"[data-filter='{key}']")
    choice = select.locator("option").all_inner_texts()[-1]
    select.select_option(label=choice)
    details = [LISTING.details[row["customer_id"]] for row in ROWS]
    fits = {
        "owner": [row["owner"] == choice for row in ROWS],
        "is:segment": [one.attributes["segment"] == choice for one in details],
        "is:plan": [one.attributes["plan"] == choice for one in details],
        "status": [row["status"] == choice for row in ROWS],
        "family": [
            any(one["family"] == choice and one["direction"] == "raises" for one in detail.reasons)
            for detail in details
        ],
    }[key]
    assert names(page) == [who(row) for row, fit in zip(ROWS, fits, strict=True) if fit]
    assert page.locator("#count").inner_text().startswith(f"{sum(fits)} of 60 customers")
    page.get_by_role("button", name="Clear filters").click()
    assert len(names(page)) == 60


def test_search_takes_names_ids_and_reasons_whatever_the_accents(
    opened: Callable[..., Any],
) -> None:
    page = opened(replace(LISTING, rows=LISTING.rows.assign(customer_name=LISTING.rows["customer_name"].fillna("Ähre & Söhne"))))  # fmt: skip
    search = page.locator("#q")
    search.fill("ahre sohne")
    assert set(names(page)) == {"Ähre & Söhne"}
    search.fill(ROWS[7]["customer_id"])
    assert len(names(page)) == 1
    search.fill("no such words")
    assert names(page) == []
    assert page.locator("#nothing").is_visible()
    search.fill("halden")
    assert (
        page.locator("[data-aside]:visible tbody tr:visible")
        .all_inner_texts()[0]
        .startswith("Halden")
    )
    assert page.locator("[data-aside]:visible").count() == 1


def test_an_owner_sees_only_their_own_beside_the_list(opened: Callable[..., Any]) -> None:
    page = opened(LISTING)
    page.locator("[data-filter='owner']").select_option(label=OWNERS[0])
    text = page.locator("main").inner_text()
    assert "Halden Freight" in text
    assert "Osprey Clinics" in text
    assert "Juniper Labs" not in text
    assert "Cobalt Press" not in text


def test_the_address_keeps_the_view(opened: Callable[..., Any]) -> None:
    page = opened(LISTING)
    page.locator("[data-filter='status']").select_option(label="back")
    page.locator("#q").fill("active")
    page.get_by_role("columnheader", name="Risk").get_by_role("button").click()
    before = names(page)
    page.reload()
    assert names(page) == before
    assert 0 < len(before) < 60


def test_details_show_everything_that_is_known(opened: Callable[..., Any]) -> None:
    page = opened(LISTING)
    page.get_by_role("button", name=who(ROWS[2]), exact=True).first.click()
    panel = page.get_by_role("dialog")
    detail = LISTING.details[ROWS[2]["customer_id"]]
    for words in (
        who(ROWS[2]), detail.why_changed, detail.sure, detail.what_if, detail.talking_point,
        detail.play_record, "left 2.3 times as often as average", "Reasons a week ago",
        "Seats 15 to 12", "Exports failed for a day", "22 Dec 2025 · phone · not reached",
        *detail.contract, ROWS[2]["customer_id"],
    ):  # fmt: skip
        assert words in panel.inner_text()
    assert panel.locator("svg.chart rect.before, svg.chart rect.recent").count() == 52
    assert panel.locator("rect.band").count() == 1
    assert panel.locator("path.mark").count() == 3
    assert panel.locator("circle.risk-dot").count() == len(detail.scores)
    panel.get_by_text("Reasons a week ago").click()
    assert panel.locator("details .reasons li").is_visible()


def test_a_customer_of_whom_nothing_is_known_opens_too(opened: Callable[..., Any]) -> None:
    page = opened(replace(LISTING, details={}, leaving=[], unjudged=[], gone=[], track=[]))
    page.locator("button.open").first.click()
    assert page.get_by_role("dialog").is_visible()
    assert page.locator("[data-aside], .record").count() == 0


def test_by_keyboard_alone(opened: Callable[..., Any]) -> None:
    page = opened(LISTING)
    page.locator("button.open").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    title = page.locator("#panel-title")
    assert title.inner_text() == who(ROWS[1])
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert title.inner_text() == who(ROWS[2])
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").is_hidden()
    assert page.evaluate("document.activeElement.textContent") == who(ROWS[2])
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("navigator.clipboard.readText()").startswith(who(ROWS[2]))


def test_one_click_copies_the_draft(opened: Callable[..., Any]) -> None:
    page = opened(LISTING)
    page.get_by_role("button", name=f"Copy e-mail draft for {who(ROWS[4])}").first.click()
    subject, text = draft(ROWS[4], LISTING.details[ROWS[4]["customer_id"]])
    assert page.evaluate("navigator.clipboard.readText()") == f"{subject}\n\n{text}"
    assert page.locator("#told").inner_text() == f"E-mail draft for {who(ROWS[4])} copied."
    assert page.get_by_role("dialog").is_hidden()


def test_the_draft_is_copied_where_there_is_no_clipboard_to_write_to(
    opened: Callable[..., Any],
) -> None:
    page = opened(LISTING)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.evaluate(
        "document.addEventListener('copy', () => { window.copied = String(document.activeElement.value); })"
    )
    page.locator(".copy").first.click()
    assert page.evaluate("window.copied").startswith(f"{who(ROWS[0])}: a quick question")


def test_printing_gives_every_customer_and_no_controls(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    page = opened(sample(300))
    assert len(names(page)) == 60
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert len(names(page)) == 300
    assert page.locator(".controls, .copy, .rest, .hint").locator("visible=true").count() == 0
    content = page.pdf(prefer_css_page_size=True)
    assert content.startswith(b"%PDF-")
    assert content.count(b"/Type /Page\n") > 5


@pytest.mark.parametrize("width", [320, 390, 820, 1440])
def test_nothing_is_wider_than_the_window(opened: Callable[..., Any], width: int) -> None:
    page = opened(everywhere("x" * 300), size=(width, 844))
    page.locator("button.open").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.getElementById('panel').scrollWidth") <= width
    opener = page.locator("button.open").first.bounding_box()
    assert opener is not None
    if width <= 820:
        assert page.locator("thead").first.bounding_box()["height"] <= 1


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_every_text_meets_aa_contrast(opened: Callable[..., Any], mode: str) -> None:
    page = opened(LISTING)
    page.emulate_media(color_scheme=mode)
    page.locator("button.open").first.click()
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    poor = page.evaluate(CONTRAST)
    assert poor == []


CONTRAST = """() => {
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const poor = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest("script, :disabled, option")) continue;
    const style = getComputedStyle(element);
    const ink = element instanceof SVGElement ? style.fill : style.color;
    const [one, other] = [light(parse(ink)), light(ground(element))].sort();
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) poor.add(`${element.tagName}.${element.getAttribute("class")} ${walker.currentNode.data.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return [...poor];
}"""


# --- speed -----------------------------------------------------------------------------------


def test_five_thousand_customers_filter_while_one_types(opened: Callable[..., Any]) -> None:
    page = opened(replace(sample(5000), details={}))
    warm = [cpu for cpu, _ in browsers.typing(page)]
    spent = [cpu for cpu, _ in browsers.typing(page)]
    assert max(spent) < FILTER_MS, warm  # CPU of the page: how busy the machine is says nothing
    page.locator("#q").fill("tidal")
    assert page.locator("#count").inner_text().endswith("a year at stake")
    assert all("Tidal" in name for name in names(page))


# --- what never runs -------------------------------------------------------------------------


def test_no_payload_runs_wherever_it_stands(opened: Callable[..., Any]) -> None:
    payloads = [*PAYLOADS, "<img src=x onerror=\"document.title='run'\">"]
    assert len(payloads) >= 30
    listing = everywhere(*payloads)
    page = opened(listing)
    assert page.title() == " ".join(wording.visible(listing.title).split())
    page.locator(".copy").first.click()
    page.locator("button.open").first.click()
    for row in records(listing):
        page.locator("#panel details").evaluate_all(
            "all => all.forEach(one => { one.open = true; })"
        )
        said = " ".join(page.get_by_role("dialog").inner_text().split())
        assert said.count(" ".join(wording.visible(row["customer_id"]).split())) >= 10
        page.keyboard.press("j")
    assert page.locator("img, iframe, object, embed, link").count() == 0
    assert page.locator("script").count() == 2


def test_the_policy_of_the_page_forbids_scripts_of_others(
    opened: Callable[..., Any], tmp_path: Path, browser: Any
) -> None:
    path = tmp_path / "hostile.html"
    text = page_html(sample(1))
    hostile = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
    path.write_text(text.replace("</main>", f"{hostile}</main>"))
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.title() == sample(1).title
    page.close()
