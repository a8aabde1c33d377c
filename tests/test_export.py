"""What people open says what the list says, and never runs what a stranger wrote."""

import base64
import csv
import email
import email.policy
import hashlib
import io
import json
import re
import zipfile
from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest
import yaml
from handouts import AS_OF, OWNERS, PAYLOADS, WEEKS, everywhere, sample
from hypothesis import given
from hypothesis import strategies as st

from churn.conf_tree import CONF
from churn.contracts import LIST_COLUMNS
from churn.io import wording
from churn.io.documents import past_lists, people
from churn.io.documents.draft import draft
from churn.io.documents.export import CHOICES, COLUMNS, HEADER_ROW, csv_bytes, guard, unguard
from churn.io.documents.handout import Detail, records
from churn.io.documents.mail import digest_eml, owner_digests
from churn.io.documents.page import TEMPLATES, index_html, page_html
from churn.io.documents.workbook import workbook_bytes

# --- reading back ----------------------------------------------------------------------------


class Page(HTMLParser):
    """The elements, texts, scripts and styles of a page, as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = [""]
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self._place: list[str] = self.texts
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._place = {"script": self.scripts, "style": self.styles}.get(tag, self.texts)
        self._place.append("")

    def handle_endtag(self, tag: str) -> None:
        self._place = self.texts

    def handle_data(self, data: str) -> None:
        self._place[-1] += data

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def read_csv(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def read_workbook(content: bytes) -> list[dict[str, Any]]:
    """The rows of sheet `List` by contract column, as an importer finds them."""
    sheet = openpyxl.load_workbook(io.BytesIO(content))["List"]
    names = {column.heading: name for name, column in COLUMNS.items()}
    header, *rows = sheet.iter_rows(min_row=HEADER_ROW, values_only=True)
    return [
        {names[str(head)]: cell for head, cell in zip(header, row, strict=True)} for row in rows
    ]


# --- CSV -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "guarded"),
    [
        ("=1+1", "'=1+1"),
        ("-2", "'-2"),
        ("\t=1", "'\t'=1"),
        ("\rx", "'\rx"),
        (" \" '=1", "' \" '=1"),
        ("＝1", "'＝1"),
        ("a;@b;c", "a;'@b;c"),
        ("a\n+b", "a\n'+b"),
    ],
)
def test_guard_puts_an_apostrophe_before_a_formula(text: str, guarded: str) -> None:
    assert guard(text) == guarded
    assert unguard(guarded) == text


@pytest.mark.parametrize(
    "text", ["Acme", "a-b", "3 + 4", "'tis", "", "x=1", "Ümit; Co", "5 - 3;ok"]
)
def test_guard_leaves_harmless_texts_alone(text: str) -> None:
    assert guard(text) == text


@given(
    st.text(alphabet=st.sampled_from(list("=+-@＝'\"; \t\r\nab\u200b7")), max_size=12) | st.text()
)
def test_unguard_gives_every_text_back(text: str) -> None:
    guarded = guard(text)
    assert unguard(guarded) == text
    parts = re.split("[;\t\r\n]", guarded)
    assert not any(part.lstrip(' "\u200b').startswith(tuple("=+-@＝＠")) for part in parts)


def test_csv_keeps_columns_numbers_and_dates() -> None:
    listing = sample()
    content = csv_bytes(listing.rows)
    assert content.startswith(b"\xef\xbb\xbfrank,customer_id,")
    assert content.count(b"\r\n") == 61
    rows = read_csv(content)
    assert tuple(rows[0]) == LIST_COLUMNS
    assert [row["customer_id"] for row in rows] == list(listing.rows["customer_id"])
    assert rows[0]["act_before"] == listing.rows["act_before"][0].isoformat()
    assert float(rows[0]["risk"]) == pytest.approx(listing.rows["risk"][0], abs=5e-5)
    assert rows[0]["contacted"] == ""


def test_csv_never_guards_a_negative_number() -> None:
    rows = sample(1).rows.assign(risk_change=-0.25, priority=-12.5)
    assert read_csv(csv_bytes(rows))[0]["risk_change"] == "-0.2500"
    assert read_csv(csv_bytes(rows))[0]["priority"] == "-12.50"


def test_csv_writes_counts_without_a_point_and_missing_as_empty() -> None:
    rows = sample(2).rows.assign(
        weeks_on_list=[2.0, float("nan")], last_contact=pd.Series([pd.NaT] * 2)
    )
    first, second = read_csv(csv_bytes(rows))
    assert (first["weeks_on_list"], second["weeks_on_list"]) == ("2", "")
    assert first["last_contact"] == ""


@pytest.mark.parametrize("payload", PAYLOADS)
def test_csv_payloads_are_safe_and_come_back(payload: str) -> None:
    row = read_csv(csv_bytes(everywhere(payload).rows))[0]
    assert row["customer_name"] == guard(payload)
    assert unguard(row["customer_name"]) == payload
    assert row["customer_name"].lstrip(' "\u200b\ufeff')[:1] not in tuple("=+-@＝＠\t\r")


# --- workbook --------------------------------------------------------------------------------


def test_workbook_holds_every_column_once() -> None:
    listing = sample()
    rows = read_workbook(workbook_bytes(listing))
    assert len(rows) == 60
    assert set(rows[0]) == set(LIST_COLUMNS)
    assert [row["customer_id"] for row in rows] == list(listing.rows["customer_id"])
    assert [row["risk"] for row in rows] == pytest.approx(list(listing.rows["risk"]))
    assert rows[0]["act_before"].date() == listing.rows["act_before"][0]


def test_workbook_shows_at_most_12_columns_with_feedback_beside_the_play() -> None:
    sheet = openpyxl.load_workbook(io.BytesIO(workbook_bytes(sample())))["List"]
    hidden = {letter for letter, column in sheet.column_dimensions.items() if column.hidden}
    headings = [
        cell.value for cell in sheet[HEADER_ROW] if not _is_hidden(sheet, cell.column, hidden)
    ]
    assert len(headings) <= 12
    start = headings.index("Suggested play")
    assert headings[start + 1 :] == ["Contacted", "Outcome", "Verdict", "Note"]


def _is_hidden(sheet: Any, column: int, hidden: set[str]) -> bool:
    spans = [sheet.column_dimensions[letter] for letter in hidden]
    return any(span.min <= column <= span.max for span in spans)


def test_workbook_hides_what_it_can_say_once() -> None:
    listing = sample()
    same = replace(listing, rows=listing.rows.assign(owner="all", act_before=date(2026, 1, 19)))
    sheet = openpyxl.load_workbook(io.BytesIO(workbook_bytes(same)))["List"]
    assert [cell.value for cell in sheet[HEADER_ROW]][:4] == ["#", "Customer", "Status", "Risk"]
    assert "act before 19 Jan 2026" in sheet["A2"].value


def test_workbook_is_ready_to_work_in() -> None:
    book = openpyxl.load_workbook(io.BytesIO(workbook_bytes(sample())))
    sheet = book["List"]
    assert sheet.freeze_panes == f"C{HEADER_ROW + 1}"
    assert sheet.auto_filter.ref.startswith(f"A{HEADER_ROW}:")
    lists = {rule.formula1.strip('"') for rule in sheet.data_validations.dataValidation}
    assert lists == {",".join(options) for options in CHOICES.values()}
    assert sheet.page_setup.orientation == "landscape"
    assert sheet.page_setup.paperSize == 9
    assert sheet.conditional_formatting
    assert "retention_list" in book.defined_names
    about = {row[0]: row[1] for row in book["About"].iter_rows(values_only=True, max_col=2)}
    assert about["Customers scored"] == "13,214"
    assert about["Verdict"]


def test_workbook_has_those_beside_the_list_and_the_track_record() -> None:
    book = openpyxl.load_workbook(io.BytesIO(workbook_bytes(sample())))
    beside = ["Already leaving", "Cannot judge yet", "Left the list", "Track record"]
    assert book.sheetnames == ["List", *beside, "About"]
    leaving = list(book["Already leaving"].iter_rows(values_only=True))
    assert leaving[0] == ("Customer", "Customer ID", "Owner", "Why")
    assert leaving[2] == ("004243", "004243", OWNERS[1], "Does not renew; ends 3 Feb 2026.")
    record = list(book["Track record"].iter_rows(values_only=True))
    assert record[1] == ("29 Dec 2025", 60, 14.2, None, None, None)
    assert record[3] == ("1 Dec 2025", 60, 12.6, 13, 9, 2.1)
    bare = replace(sample(1), leaving=[], unjudged=[], gone=[], track=[])
    names = openpyxl.load_workbook(io.BytesIO(workbook_bytes(bare))).sheetnames
    assert names == ["List", "About"]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_workbook_payloads_stay_text(payload: str) -> None:
    content = workbook_bytes(everywhere(payload))
    for part in (archive := zipfile.ZipFile(io.BytesIO(content))).namelist():
        assert not re.search(b"<f>|<hyperlink|externalLink", archive.read(part))
    book = openpyxl.load_workbook(io.BytesIO(content))
    cells = [cell for row in book["List"].iter_rows(min_row=HEADER_ROW + 1) for cell in row]
    texts = [cell for cell in cells if isinstance(cell.value, str)]
    assert texts
    assert all(cell.number_format == "@" for cell in texts)
    assert not any(cell.data_type == "f" for cell in cells if cell.value != payload)


# --- page ------------------------------------------------------------------------------------


def test_page_lists_every_row_in_order_in_plain_html() -> None:
    listing = sample()
    page = Page(page_html(listing))
    ranks = [attributes for attributes in page.attributes("tr") if "data-row" in attributes]
    assert [row["data-row"] for row in ranks] == [str(k) for k in range(60)]
    assert page.attributes("html") == [{"lang": "en"}]
    text = " ".join(page.texts)
    assert "customers to contact" in text
    assert wording.percent(listing.rows["risk"][0]) in text
    assert listing.rows["reason_1"][0] in text


def test_page_loads_nothing_and_allows_only_its_own_script_and_style() -> None:
    text = page_html(sample())
    page = Page(text)
    policy = next(
        attributes["content"]
        for attributes in page.attributes("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    for content in (page.scripts[-1], page.styles[0]):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    loading = {"src", "srcset", "style", "action", "poster", "background"}
    assert not any(loading & set(attributes) for _, attributes in page.tags)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert {tag["href"] for tag in page.attributes("a")} == {
        "#list",
        "retention_list.xlsx",
        "retention_list.csv",
    }
    assert "innerHTML" not in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_page_payloads_are_only_ever_text(payload: str) -> None:
    usual, hostile = Page(page_html(everywhere("Acme"))), Page(page_html(everywhere(payload)))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in usual.tags]
    names = [sorted(attributes) for _, attributes in hostile.tags]
    assert names == [sorted(attributes) for _, attributes in usual.tags]
    assert hostile.scripts[-1] == usual.scripts[-1]
    assert wording.visible(payload).strip() in "".join(hostile.texts)
    data = json.loads(hostile.scripts[0])
    assert data["rows"][0]["ids"][0][1] == wording.visible(payload)
    assert not set("<>&\u2028\u2029") & set(hostile.scripts[0])


def test_page_spells_out_characters_that_turn_the_direction() -> None:
    text = page_html(sample(1, names=["Acme\u202egnp.exe"]))
    assert "Acme[U+202E]gnp.exe" in text
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", text)


def test_page_keeps_emoji_and_other_scripts_whole() -> None:
    text = page_html(sample(2, names=["🏳️\u200d🌈 Foxes", "بقالة الحي"]))
    assert "🏳️\u200d🌈 Foxes" in text
    assert "<bdi>بقالة الحي</bdi>" in text


def test_page_offers_only_filters_with_a_choice() -> None:
    listing = sample()
    one = replace(listing, rows=listing.rows.assign(owner="all"), attributes=["segment"])
    keys = [tag.get("data-filter") for tag in Page(page_html(one)).attributes("select")]
    assert [key for key in keys if key] == ["is:segment", "status", "family"]


def test_page_of_an_empty_list_says_so() -> None:
    listing = replace(sample(0), leaving=[], unjudged=[], gone=[], track=[])
    assert "Nobody is on the list this week" in page_html(listing)
    assert not Page(page_html(listing)).attributes("table")
    assert "Halden Freight" in page_html(sample(0))
    assert read_workbook(workbook_bytes(listing)) == []
    assert b"Nobody is on the list" in digest_eml(listing)


def test_page_shows_missing_values_as_a_dash() -> None:
    empty = {name: None for name in LIST_COLUMNS if name not in ("rank", "customer_id")}
    listing = replace(sample(1), details={}, rows=sample(1).rows.assign(**empty))
    text = " ".join(Page(page_html(listing)).texts)
    assert "–" in text
    assert not re.search(r"\b(None|nan|NaN|NaT)\b", text)
    assert workbook_bytes(listing)
    assert digest_eml(listing)


def test_page_takes_the_types_that_pandas_and_numpy_make() -> None:
    listing = sample(2)
    rows = listing.rows.assign(
        rank=np.array([1, 2]),
        risk=pd.Series([np.float64(0.5), np.float32(0.25)], dtype=object),
        weeks_on_list=[2.0, float("nan")],
        act_before=pd.to_datetime(["2026-01-19", "2026-01-12"]),
        owner=pd.Series(["Anna", pd.NA], dtype="string"),
    )
    detail = Detail(weeks=WEEKS, activity=list(np.arange(26) % 8), events=list(np.arange(26)))
    details = dict.fromkeys(rows["customer_id"], detail)
    page = Page(page_html(replace(listing, rows=rows, details=details)))
    first = json.loads(page.scripts[0])["rows"][0]
    assert (first["sort"]["risk"], first["usual"]) == (0.5, [3.0, 11.0])
    assert ["Weeks on the list", "2"] in first["facts"]
    assert "19 Jan 2026" in " ".join(page.texts)
    assert workbook_bytes(replace(listing, rows=rows))
    assert csv_bytes(rows)


def test_colours_meet_aa_in_light_and_dark() -> None:
    style = (TEMPLATES / "page.css").read_text()
    themes = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--([\w-]+): (#\w{6})", theme))
        grounds = [colours[name] for name in ("ground", "paper", "raised", "hover")]
        inks = [colours[name] for name in ("ink", "quiet", "accent", "danger", "good")]
        assert min(contrast(ink, ground) for ink in inks for ground in grounds) >= 4.5
        for pair in ("new", "still", "back", "warn"):
            assert contrast(colours[f"{pair}-ink"], colours[f"{pair}-ground"]) >= 4.5
        assert contrast(colours["accent-ink"], colours["accent"]) >= 4.5
        assert contrast(colours["edge"], colours["paper"]) >= 3


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2."""
    lights = sorted(luminance(colour) + 0.05 for colour in (one, other))
    return lights[1] / lights[0]


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# --- index -----------------------------------------------------------------------------------


def test_index_links_to_the_current_list_and_those_before() -> None:
    text = index_html(
        current="2026-01-05/r2",
        as_of=AS_OF,
        banner="STALE: this list is 15 days old <b>",
        revisions=["2026-01-05/r2", "2026-01-05/r1", "2025-12-29/r1"],
    )
    page = Page(text)
    links = [tag["href"] for tag in page.attributes("a")]
    assert links[0] == "2026-01-05/r2/retention_list.html"
    assert links[-2:] == ["2026-01-05/r1/retention_list.html", "2025-12-29/r1/retention_list.html"]
    assert "STALE: this list is 15 days old <b>" in " ".join(page.texts)
    assert "5 Jan 2026" in " ".join(page.texts)


def test_index_before_the_first_list() -> None:
    assert "No list has been published yet" in index_html(
        current=None, as_of=None, banner=None, revisions=[]
    )


# --- digest ----------------------------------------------------------------------------------


def parts(content: bytes) -> tuple[Any, str, str]:
    mail = email.message_from_bytes(content, policy=email.policy.default)
    plain, html = mail.iter_parts()
    return mail, plain.get_content(), html.get_content()


def test_digest_names_the_top_ten_with_reasons() -> None:
    listing = sample()
    mail, plain, html = parts(digest_eml(listing))
    assert mail["Subject"] == "Retention list, week of 5 January 2026: top 10"
    assert len(re.findall(r"^\d+\. ", plain, re.MULTILINE)) == 10
    for reason in listing.rows["reason_1"][:10]:
        assert reason in plain
        assert reason in html
    assert "50 more on the list." in plain


def test_the_head_reads_what_is_at_stake_whose_it_is_and_what_became_of_past_lists() -> None:
    listing = sample()
    _, plain, html = parts(digest_eml(listing))
    own = listing.rows[listing.rows["owner"] == OWNERS[1]]
    share = f"{len(own)} to contact, about {own['risk'].sum():.0f} expected to leave, "
    assert f"{OWNERS[1]}: {share}" in plain
    for words in (
        *OWNERS,
        share,
        past_lists.in_words(listing.track),
        "Halden Freight",
        "a year at stake",
    ):
        assert words in plain
        assert words in html
    assert "Left the list since last week\n   - Cobalt Press: Active on" in plain.replace("\r", "")


def test_no_address_stands_in_a_mail_that_is_written() -> None:
    mail, _, _ = parts(digest_eml(sample(1)))
    assert [mail[name] for name in ("From", "To", "Message-ID")] == [None] * 3


def test_each_owner_gets_their_own_customers_and_no_others() -> None:
    listing = sample()
    mails = owner_digests(listing)
    assert list(mails) == sorted(OWNERS)
    mail, plain, html = parts(mails[OWNERS[0]])
    assert mail["Subject"] == f"{listing.title}: 15 customers for {OWNERS[0]}"
    own = listing.rows[listing.rows["owner"] == OWNERS[0]]
    assert re.findall(r"^(\d+)\. ", plain, re.MULTILINE) == [str(rank) for rank in own["rank"]]
    assert "Osprey Clinics" in plain
    assert "Cobalt Press" not in plain
    assert not any(other in html for other in OWNERS[1:])


def test_without_owners_there_is_one_digest() -> None:
    listing = replace(sample(), rows=sample().rows.assign(owner="all"))
    assert owner_digests(listing) == {}


def test_everything_people_open_is_written_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "digests").mkdir()
    (tmp_path / "digests" / "someone-else.eml").write_bytes(b"of an earlier run")
    (tmp_path / "held_out.csv").write_bytes(b"not for people")
    people.write(sample(), tmp_path)
    found = people.files(tmp_path)
    assert found[:5] == list(people.FILES)
    assert [re.sub("-[0-9a-f]{6}.eml", "", name) for name in found[5:]] == [
        "digests/anna-lindqvist",
        "digests/marcus-oyelaran",
        "digests/priya-raman",
        "digests/tomas-ferreira",
    ]
    assert found[5] == people.digest_of(OWNERS[0])


@pytest.mark.parametrize(
    "owner", ["../../etc/passwd", "a/b\\c", "CON", "", "李", "x" * 500, "\ud800"]
)
def test_an_owner_of_any_name_has_a_file_in_the_folder(owner: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{5,50}", people.plain_name(owner))
    assert people.plain_name(owner) != people.plain_name(f"{owner} ")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_digest_payloads_add_no_header_part_or_element(payload: str) -> None:
    usual, _, usual_html = parts(digest_eml(everywhere("Acme")))
    mail, plain, html = parts(digest_eml(everywhere(payload)))
    assert mail.keys() == usual.keys()
    assert [tag for tag, _ in Page(html).tags] == [tag for tag, _ in Page(usual_html).tags]
    assert wording.visible(payload).strip() in plain
    assert not mail.defects
    mine = owner_digests(everywhere(payload))
    assert [parts(content)[0].keys() for content in mine.values()] == [usual.keys()]


# --- the same bytes --------------------------------------------------------------------------


def test_the_same_listing_gives_the_same_bytes() -> None:
    one, other = sample(), sample()
    assert csv_bytes(one.rows) == csv_bytes(other.rows)
    assert workbook_bytes(one) == workbook_bytes(other)
    assert page_html(one) == page_html(other)
    mails = [digest_eml(listing) for listing in (one, other)]
    assert mails[0] == mails[1]


def test_rows_are_not_changed() -> None:
    listing = sample()
    before = listing.rows.copy(deep=True)
    csv_bytes(listing.rows), workbook_bytes(listing), page_html(listing)
    pd.testing.assert_frame_equal(listing.rows, before)


# --- wording ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.342, "34 %"),
        (0.034, "3.4 %"),
        (0.0996, "10 %"),
        (1.0, ">99 %"),
        (0.0, "<0.1 %"),
        (None, "–"),
    ],
)
def test_percent(share: float | None, words: str) -> None:
    assert wording.percent(share).replace(wording.NBSP, " ") == words


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        (1234.4, "EUR", "€1,234"),
        (9.99, "USD", "$9.99"),
        (1e6, "CHF", "CHF 1,000,000"),
        (-250, "GBP", "−£250"),
        (12.5, None, "12.50"),
        (float("nan"), "EUR", "–"),
    ],
)
def test_money(amount: float, currency: str | None, words: str) -> None:
    assert wording.money(amount, currency).replace(wording.NBSP, " ") == words


@pytest.mark.parametrize(
    "value", [date(2026, 1, 5), pd.Timestamp("2026-01-05 10:00"), "2026-01-05", "2026-01-05T10:00"]
)
def test_day(value: Any) -> None:
    assert wording.day(value) == "5 Jan 2026"


# --- a mail to the customer ------------------------------------------------------------------


PLAYS_FILE = yaml.safe_load((CONF / "retain" / "plays.yaml").read_text())["plays"]
OURS = re.compile(r"\d|%|€|\b(risk|churn|score|play|list|model|segment|stake|reason)\w*\b", re.I)


@pytest.mark.parametrize("play", [None, *PLAYS_FILE.values()])
def test_a_draft_holds_no_figure_and_no_word_of_ours(play: dict[str, str] | None) -> None:
    row = records(sample(5))[1] | {"customer_name": "Tidal Travel"}
    told = {} if play is None else {name: play[name] for name in ("talking_point", "channel")}
    detail = replace(sample(5).details[row["customer_id"]], **told)
    subject, text = draft(row, detail)
    assert subject == "Tidal Travel: a quick question"
    assert detail.talking_point in text
    assert text.startswith("Hello Tidal Travel team,\n\n")
    assert text.endswith(f"Kind regards\n{row['owner']}")
    assert not OURS.search(f"{subject}\n{text}")


def test_a_draft_without_name_owner_and_point_still_reads_well() -> None:
    row = records(sample(1))[0] | {"customer_name": None, "owner": "all"}
    subject, text = draft(row, Detail())
    assert subject == "A quick question"
    assert text.startswith("Hello,\n\n")
    assert text.endswith("Kind regards")
    assert row["customer_id"] not in text


# --- what became of earlier lists ------------------------------------------------------------


def test_track_record_adds_up_settled_lists_and_draws_the_others_hollow() -> None:
    found = past_lists.section(sample(1).track)
    assert found is not None
    assert found["words"] == (
        "3 settled lists: 35 of 177 customers left; 37.3 were expected to. To compare, as many "
        "by longest silence: 24; as many at random: 6. 2 more are not settled yet."
    )
    assert [bar["kind"] for bar in found["bars"]] == ["settled"] * 3 + ["unsettled"] * 2
    assert found["rows"][0] == {
        "as_of": "29 Dec 2025", "size": "60", "expected": "14.2", "left": "not settled",
        "silent": "–", "random": "–",
    }  # fmt: skip
    heights = [float(bar["height"]) for bar in found["bars"]]
    assert heights == pytest.approx([110 * n / 15 for n in (12, 10, 13, 13.1, 14.2)], abs=0.1)


def test_track_record_before_anything_is_settled_says_so() -> None:
    assert past_lists.section([]) is None
    assert past_lists.in_words(sample(1).track[:1]).startswith(
        "No earlier list is settled yet: 1 waits"
    )
    one = replace(sample(1).track[-1], silent_left=None, random_left=None)
    assert past_lists.in_words([one]) == (
        "1 settled list: 12 of 57 customers left; 11.8 were expected to."
    )


def test_track_record_shows_half_a_year() -> None:
    past = sample(1).track[-1]
    many = [replace(past, as_of=(AS_OF - timedelta(weeks=k)).isoformat()) for k in range(40)]
    found = past_lists.section(many)
    assert found is not None
    assert (len(found["bars"]), found["n_hidden"]) == (26, 14)
    assert found["words"].startswith("40 settled lists")
    assert float(found["bars"][-1]["to"]) <= found["width"]
