"""Bad files, one a row, through the real command: the right result, or the right refusal.

Every case adds a delivery (or a side table) to a workspace that holds a roll-up already. A refusal
names the file, the line and the column where there is one, says what to do next, shows no traceback,
and leaves every table of the workspace byte for byte as it was. What is no fault is counted: read,
used, duplicate, excluded, refused. `test_bad_input.py` has the same below the command line.
"""

import bz2
import gzip
import io
import json
import lzma
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commandline import logging_as_before

from churn import __main__ as cli
from churn.io import tables

HEADER = b"customer_id,ts,event\n"
GOOD = HEADER + b"007,2026-01-05 10:00:00,login\n"
FIVE = datetime(2026, 1, 5)
ROW = {"customer_id": ["a"], "ts": [FIVE], "event": ["x"]}
LINE = b'{"customer_id":"a","ts":"2026-01-05","event":"x"}\n'
VALUE = b"customer_id,ts,event,value\n"
LOADED = b"customer_id,ts,event,loaded_at\n"
ID = b"customer_id,ts,event,event_id\n"
ACCESS = b'1.2.3.4 - - [10/Oct/2025:13:55:36 +0200] "GET / HTTP/1.1" 200 5\n'


def parquet(**columns: Any) -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.table(columns), content)
    return content.getvalue()


def far(kind: pa.DataType, *, name: str = "ts") -> bytes:
    """Times that no calendar holds, in a file that is otherwise sound."""
    most = 2**31 - 1 if kind == pa.date32() else 2**62
    return parquet(**{**ROW, name: pa.array([most], kind)})


def not_text() -> bytes:
    broken = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    return parquet(**{**ROW, "customer_id": broken})


def doubled() -> bytes:
    content = io.BytesIO()
    arrays = [pa.array(["a"]), pa.array(["b"]), pa.array([FIVE]), pa.array(["x"])]
    names = ["customer_id", "customer_id", "ts", "event"]
    pq.write_table(pa.Table.from_arrays(arrays, names=names), content)
    return content.getvalue()


@dataclass(frozen=True)
class Case:
    """`content` under `name` (a function puts it there itself): how the command ends, what it says,
    or what became of the rows."""

    name: str
    content: bytes | Callable[[Path], None]
    words: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    rows: tuple[int, int, int, int, int] | None = None
    customers: tuple[str, ...] = ()
    code: int = 3


def refused(
    name: str, content: Any, *said: str, words: tuple[str, ...] = (), code: int = 3
) -> Case:
    return Case(name, content, words, said=said, code=code)


def taken(name: str, content: Any, *rows: int, words: tuple[str, ...] = (), who: str = "") -> Case:
    found = (*rows, 0, 0, 0, 0)[:5]
    return Case(name, content, words, rows=found, customers=tuple(who.split("|")), code=0)


def with_line(line: str | bytes) -> bytes:
    return GOOD + (line if isinstance(line, bytes) else line.encode()) + b"\n"


ENCODINGS = {
    "UTF-16 without its mark": refused("b.csv", GOOD.decode().encode("utf-16-le"), "line 1", "UTF-16"),
    "UTF-16 the other way round": refused("b.csv", GOOD.decode().encode("utf-16-be"), "line 1", "UTF-16"),
    "UTF-32": refused("b.csv", GOOD.decode().encode("utf-32"), "UTF-8"),
    "Latin-1 far below": refused("b.csv", GOOD * 1 + b"8,2026-01-05,x\n" * 300_000 + b"\xe9,2026-01-05,x\n", "line 300003", "not UTF-8"),
    "a broken character in the header": refused("b.csv", b"customer_id,ts,event,\xff\n1,2026-01-05,x,1\n", "line 1", "not UTF-8"),
    "a character cut at the end of the file": refused("b.csv", with_line("8,2026-01-05,é")[:-2], "line 3", "not UTF-8"),
    "a broken character in JSON lines": refused("b.jsonl", LINE + LINE.replace(b"a", b"\xff", 1), "line 2", "not UTF-8"),
    "a broken character in an access log": refused("b.log", ACCESS + b"\xff\n", "line 2", "not UTF-8", words=("source.format=access_log",)),
    "broken text inside Parquet": refused("b.parquet", not_text(), "damaged inside"),
    "a lone surrogate in JSON": refused("b.jsonl", LINE + LINE.replace(b'"a"', b'"a\\ud800"'), "line 2", "not a JSON object"),
    "a byte order mark in JSON lines": taken("b.jsonl", b"\xef\xbb\xbf" + LINE, 1, 1, who="a"),
    "NUL in an id": refused("b.csv", with_line("a\0b,2026-01-05,x"), "line 3", "customer_id", "control character"),
    "NUL in an event": refused("b.csv", with_line("8,2026-01-05,x\0"), "line 3", "column event", "control character"),
    "NUL by escape in JSON": refused("b.jsonl", LINE + LINE.replace(b'"a"', b'"a\\u0000"'), "line 2", "customer_id"),
}  # fmt: skip

LINE_ENDS = {
    "CR alone": taken("b.csv", (GOOD + b"8,2026-01-06,x\n").replace(b"\n", b"\r"), 2, 2, who="007|8"),
    "CR alone, a bad row": refused("b.csv", with_line("8,oops,x").replace(b"\n", b"\r"), "line 3 column ts"),
    "mixed": refused("b.csv", HEADER + b"1,2026-01-05,x\r\n2,2026-01-05,x\r3,2026-01-05,x\n4,oops,x", "line 5 column ts"),
    "no line end at the end": taken("b.csv", GOOD[:-1], 1, 1, who="007"),
    "CR alone in JSON lines": taken("b.jsonl", (LINE + LINE.replace(b"a", b"b", 1)).replace(b"\n", b"\r"), 2, 2, who="a"),
    "CRLF in JSON lines": refused("b.jsonl", LINE.replace(b"\n", b"\r\n") * 2 + b"{\r\n", "line 3", "not a JSON object"),
    "a quote that is never closed": refused("b.csv", with_line('8,2026-01-05,"x\n9,2026-01-05,y'), "after line 3", "never closed"),
    "two quotes that are not closed": refused("b.csv", with_line('8,2026-01-05,"x\n9,2026-01-05,y\n1,2026-01-05,"z'), "line 3", "quote"),
    "rows swallowed between two quotes": refused("b.csv", with_line('8,2026-01-05,"x\n9,2026-01-05,y\n1,2026-01-05,"z\n2,2026-01-05,w'), "line 3 column event", "quote not closed"),
    "a header that has no end": refused("b.csv", b'"customer_id,ts,event\n' + b"7,2026-01-05,x\n" * 9999, "line 1", "no end"),
    "a closed line break in the last cell": taken("b.csv", b'customer_id,ts,event,text\n8,2026-01-05,x,"a\nb"\n\n\n', 1, 1, who="8"),
}  # fmt: skip

IDS = {
    "ids as they are": taken("b.csv", HEADER + b"".join(i.encode() + b",2026-01-05,x\n" for i in ("7", "9" * 19, "NA", "null", "1e5", "+1", "=1+1")), 7, 7, who="7|" + "9" * 19 + "|NA|null|1e5|+1|=1+1"),
    "a tab": refused("b.csv", with_line("\t,2026-01-05,x"), "line 3 column customer_id"),
    "spaces": refused("b.csv", with_line("  ,2026-01-05,x"), "line 3 column customer_id", "empty"),
    "spaces that do not break": refused("b.csv", with_line("\u00a0\u2003,2026-01-05,x"), "line 3 column customer_id", "white space"),
    "a tab in Parquet": refused("b.parquet", parquet(**{**ROW, "customer_id": ["\t"]}), "line 1", "customer_id"),
    "emoji and a bidi control in an id": taken("b.csv", HEADER + "👩‍👩‍👧\u202e,2026-01-05,x\n".encode(), 1, 1, who="👩‍👩‍👧\u202e"),
    "an object in JSON": refused("b.jsonl", LINE + LINE.replace(b'"a"', b'{"id":1}', 1), "line 2", "customer_id", "FIELD.INNER"),
    "a truth value in JSON": refused("b.jsonl", LINE.replace(b'"a"', b"true"), "line 1", "customer_id"),
    "25 digits in JSON": refused("b.jsonl", LINE.replace(b'"a"', b"1" * 25), "line 1", "digits may be lost", words=("source.integer_ids=true",)),
    "19 digits in JSON, allowed": taken("b.jsonl", LINE.replace(b'"a"', b"1" * 19), 1, 1, words=("source.integer_ids=true",), who="1" * 19),
    "a decimal in Parquet": refused("b.parquet", parquet(**{**ROW, "customer_id": [Decimal("12")]}), "customer_id", "decimal", words=("source.integer_ids=true",)),
    "whole numbers behind a dictionary": refused("b.parquet", parquet(**{**ROW, "customer_id": pa.array([7]).dictionary_encode()}), "source.integer_ids=true"),
    "1 MB": taken("b.csv", HEADER + b"t" * 1_000_000 + b",2026-01-05,x\n", 1, 1),
}  # fmt: skip

TIMES = {
    "without a day": refused("b.csv", with_line("8,10:00,x"), "line 3 column ts", "source.ts_format"),
    "the name of a zone": refused("b.csv", with_line("8,2026-01-05 10:00:00 CET,x"), "line 3 column ts"),
    "dots": refused("b.csv", with_line("8,05.01.2026 10:00,x"), "line 3 column ts", "%d.%m.%Y"),
    "the year 2300": refused("b.csv", with_line("8,2300-01-01,x"), "line 3 column ts", "2200"),
    "a date far behind its arrival": refused("b.csv", LOADED + b"8,2150-01-01,x,2026-01-06\n", "line 2 column ts", "after the row was loaded"),
    "a clock three hours ahead": taken("b.csv", LOADED + b"8,2026-01-06 03:00,x,2026-01-06\n", 1, 1, who="8"),
    "a month that is none, in an access log": refused("b.log", ACCESS.replace(b"Oct", b"Foo"), "line 1 column ts", words=("source.format=access_log",)),
    "an hour that the clock skips": taken("b.csv", HEADER + b"8,2026-03-29 02:30,x\n", 1, 1, words=("source.timezone=Europe/Berlin",), who="8"),
    "an hour that the clock repeats": taken("b.csv", HEADER + b"8,2026-10-25 02:30,x\n", 1, 1, words=("source.timezone=Europe/Berlin",), who="8"),
    "a zone that nobody knows": refused("b.csv", GOOD, "source.timezone", words=("source.timezone=Europe/Berln",), code=2),
    "microseconds without end": refused("b.parquet", far(pa.timestamp("us")), "line 1 column ts", "2200"),
    "milliseconds without end": refused("b.parquet", far(pa.timestamp("ms")), "damaged inside"),
    "days without end": refused("b.parquet", far(pa.date32()), "line 1 column ts"),
    "an arrival without end": refused("b.parquet", far(pa.timestamp("us"), name="loaded_at"), "line 1 column loaded_at"),
    "a time of day": refused("b.parquet", parquet(**{**ROW, "ts": [time(1)]}), "'ts'", "time64"),
}  # fmt: skip

COLUMNS = {
    "a renamed column without rows": refused("b.csv", b"customer,when,what\n", "line 1", "source.columns.customer_id=customer"),
    "no header": refused("b.csv", b"8,2026-01-01,x\n", "line 1", "no column 'customer_id'"),
    "a header in other capitals": refused("b.csv", GOOD.replace(b"ts", b"TS"), "line 1", "source.columns.ts=TS"),
    "an optional column in other capitals": refused("b.csv", b"customer_id,ts,event,Value\n8,2026-01-05,x,1\n", "line 1", "source.columns.value=Value"),
    "spaces in the header": refused("b.csv", b"customer_id, ts ,event\n8,2026-01-05,x\n", "line 1", "did you mean  ts ?"),
    "two columns without a name": refused("b.csv", b"customer_id,ts,event,,\n8,2026-01-05,x,,\n", "line 1", "2 times"),
    "two columns that differ in capitals": refused("b.csv", b"customer_id,ts,event,TS\n8,2026-01-05,x,1\n", "more than once"),
    "a column twice in Parquet": refused("b.parquet", doubled(), "'customer_id' more than once"),
    "further columns": taken("b.csv", b"customer_id,ts,event,browser,\n8,2026-01-05,x,f,\n", 1, 1, who="8"),
    "a column left out by name": taken("b.csv", ID + b"8,2026-01-05,x,1\n9,2026-01-05,y,1\n", 2, 2, words=("source.columns.event_id=",), who="8|9"),
    "no column in Parquet": refused("b.parquet", parquet(x=[1]), "no column 'customer_id'"),
    "a list in Parquet": refused("b.parquet", parquet(**{**ROW, "customer_id": [["a"]]}), "'customer_id'", "list<"),
    "bytes in Parquet": refused("b.parquet", parquet(**{**ROW, "event": [b"x"]}), "'event'", "binary"),
    "two characters between fields": refused("b.csv", GOOD, "source.delimiter", words=("source.delimiter=ab",), code=2),
    "tabs between fields": taken("b.csv", GOOD.replace(b",", b"\t"), 1, 1, words=('source.delimiter="\\t"',), who="007"),
}  # fmt: skip

KINDS = {
    "HTML under .csv.gz": refused("b.csv.gz", gzip.compress(b"<html>login"), "web page"),
    "gzip in gzip": refused("b.csv.gz", gzip.compress(gzip.compress(GOOD)), "gzip bytes"),
    "nothing in gzip": refused("b.csv.gz", gzip.compress(b""), "an empty file"),
    "no byte under .gz": refused("b.csv.gz", b"", "an empty file"),
    "rubbish after gzip": refused("b.csv.gz", gzip.compress(GOOD) + b"rubbish", "cut or damaged"),
    "two gzips in a row": taken("B.CSV.GZ", gzip.compress(GOOD) + gzip.compress(b"8,2026-01-05,x\n"), 2, 2, who="007|8"),
    "bzip2": refused("b.csv", bz2.compress(GOOD), "bzip2"),
    "xz": refused("b.csv", lzma.compress(GOOD), "xz"),
    "zstd": refused("b.csv", pa.compress(GOOD, "zstd", asbytes=True), "zstd"),
    "PDF": refused("b.csv", b"%PDF-1.4\n%\xe2\xe3", "PDF"),
    "an old spreadsheet": refused("b.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "spreadsheet"),
    "a database": refused("b.csv", b"SQLite format 3\0" + bytes(99), "SQLite"),
    "zeros": refused("b.csv", bytes(99_999), "no text"),
    "Parquet called CSV": refused("b.csv", parquet(**ROW), "source.format=parquet"),
    "CSV called Parquet": refused("b.parquet", GOOD, "whole Parquet file"),
    "Parquet cut short": refused("b.parquet", parquet(**ROW)[:-20], "whole Parquet file"),
    "Parquet of no bytes": refused("b.parquet", b"", "an empty file"),
    "Parquet without rows": taken("b.parquet", parquet(**{n: pa.array([], pa.array(v).type) for n, v in ROW.items()}), 0),
    "a header only": taken("b.csv", HEADER, 0),
    "JSON in many lines": refused("b.json", b'{\n "customer_id":"a",\n "ts":"2026-01-05",\n "event":"x"\n}\n', "line 1", "jq"),
    "a JSON array below a blank line": refused("b.json", b"\n [{}]", "a JSON array", "jq"),
    "JSON of a thousand brackets": refused("b.jsonl", LINE + b"[" * 99_999 + b"\n", "line 2", "not a JSON object"),
    "a JSON event that is a list": refused("b.jsonl", LINE.replace(b'"x"', b'["x"]'), "line 1", "'event'"),
}  # fmt: skip

VALUES = {
    "thousands": refused("b.csv", VALUE + b'8,2026-01-05,x,"1,234.56"\n', "line 2 column value", "thousands"),
    "a currency sign": refused("b.csv", VALUE + "8,2026-01-05,x,€5\n".encode(), "line 2 column value", "currency"),
    "an underscore": refused("b.csv", VALUE + b"8,2026-01-05,x,1_000\n", "line 2 column value"),
    "a blank in a number": refused("b.csv", VALUE + b"8,2026-01-05,x,1 000\n", "line 2 column value"),
    "NaN in JSON": refused("b.jsonl", LINE.replace(b"}", b',"value":NaN}'), "line 1 column value"),
    "2**64": refused("b.parquet", parquet(**ROW, value=pa.array([2**64 - 1], pa.uint64())), "line 1 column value"),
    "a truth value": refused("b.parquet", parquet(**ROW, value=[True]), "'value'", "bool"),
    "a decimal": taken("b.parquet", parquet(**ROW, value=[Decimal("12.3456")]), 1, 1, who="a"),
    "1 MB of text": taken("b.csv", HEADER[:-1] + b",text\n8,2026-01-05,x," + b"t" * 1_000_000 + b"\n", 1, 1, who="8"),
    "an id twice, the same event": taken("b.csv", ID + b"8,2026-01-05,x,1\n8,2026-01-05,x,1\n", 2, 1, 1, who="8"),
    "an id twice, two events": refused("b.csv", ID + b"8,2026-01-05,x,1\n9,2026-01-05,y,1\n", "line 3 column event_id", "two contents"),
    "bots": taken("b.csv", with_line("bot-1,2026-01-05,x"), 2, 1, 0, 1, words=("source.exclude.customer_id=[bot-*]",), who="007"),
}  # fmt: skip


def link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


PLACES = {
    "a pipe": refused("b.csv", os.mkfifo, "b.csv", "pipe"),
    "a link that leads nowhere": refused("b.csv", link("/nowhere/at/all"), "b.csv", "nowhere"),
    "a link to itself": refused("b.csv", link("b.csv"), "b.csv", "nowhere"),
    "a link to a device": refused("b.csv", link("/dev/zero"), "b.csv", "device"),
    "a folder called a file": refused("b.csv", Path.mkdir, "b.csv", "a folder"),
    "another folder": taken("older", Path.mkdir, 0),
    "a link to another delivery": taken("b.csv", link("a.csv"), 0),
    "a name with signs of globs, quotes and a line break": taken("w[e]*'k\u202e\n.csv", GOOD + b"8,2026-01-05,x\n", 2, 2, who="007|8"),
    "a name that is no text": taken("b\udcff.csv", GOOD + b"8,2026-01-05,x\n", 2, 2, who="007|8"),
    "a name that says nothing": refused("b.dat", GOOD, "source.format=", code=2),
}  # fmt: skip

BOMBS = {
    "rows": refused("b.csv.gz", gzip.compress(HEADER + b"8,2026-01-05,x\n" * 9_000_000, 6), "200 times"),
    "a cell": refused("b.csv.gz", gzip.compress(HEADER + b"8,2026-01-05," + b"x" * 300_000_000, 6), "8 MB"),
    "a line": refused("b.jsonl.gz", gzip.compress(b'{"a":"' + b"x" * 300_000_000, 6), "a line of more than"),
}  # fmt: skip

EVENTS = {
    f"{group}: {name}": case
    for group, cases in {
        "encoding": ENCODINGS, "line ends": LINE_ENDS, "id": IDS, "time": TIMES, "columns": COLUMNS,
        "kind": KINDS, "value": VALUES, "place": PLACES,
    }.items()
    for name, case in cases.items()
}  # fmt: skip


@dataclass
class Desk:
    """A workspace with one delivery taken in, and the command line."""

    place: Path

    @property
    def logs(self) -> Path:
        return self.place / "logs"

    def run(self, capfd: Any, command: str, *words: str) -> tuple[int, str]:
        """How the command ends, and what it says. Another way of reading is for the new file alone:
        the first delivery cannot be read so."""
        other = ("source.format", "source.delimiter", "source.columns")
        pattern = "[!a]*" if any(word.startswith(other) for word in words) else "*"
        given = [
            "source=files",
            f"source.events='{self.logs}/{pattern}'",
            f"workspace='{self.place}/data'",
        ]
        with logging_as_before(), pytest.raises(SystemExit) as end:
            cli.main([command, *given, "engine.threads=1", *words])
        return int(end.value.code or 0), capfd.readouterr().err

    def kept(self) -> dict[str, bytes]:
        """Every file that is known by a name: what is converted on the way is not."""
        files = [p for p in (self.place / "data").rglob("*") if p.is_file()]
        caches = [p for p in files if p.parent.name == "deliveries" and p.name != "index.json"]
        return {str(p): p.read_bytes() for p in files if p not in caches}

    def rows(self) -> tuple[int, ...]:
        """Read, used, duplicate, excluded, refused, without the one row of the first delivery."""
        found = tables.facts(self.place / "data" / "daily", made_by="rollup")["rows"]
        n_before = "first" in self.customers()
        names = ("duplicate", "excluded", "refused")
        return found["read"] - n_before, found["used"] - n_before, *(found[name] for name in names)

    def customers(self) -> set[str]:
        return set(tables.read(self.place / "data" / "daily", made_by="rollup")["customer_id"])


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: Any) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("seed") / "desk")
    desk.logs.mkdir(parents=True)
    (desk.logs / "a.csv").write_bytes(GOOD.replace(b"007", b"first"))
    with logging_as_before(), pytest.raises(SystemExit) as end:
        cli.main(["rollup", "source=files", f"source.events='{desk.logs}/*'",
                  f"workspace='{desk.place}/data'", "engine.threads=1"])  # fmt: skip
    assert not end.value.code
    shutil.copytree(desk.place, desk.place.with_name("template"))
    return desk


@pytest.fixture
def desk(seeded: Desk) -> Iterator[Desk]:
    yield seeded
    shutil.rmtree(seeded.place)
    shutil.copytree(seeded.place.with_name("template"), seeded.place)


def put(case: Case, path: Path) -> None:
    if callable(case.content):
        case.content(path)
    else:
        path.write_bytes(case.content)


def is_refused(desk: Desk, case: Case, capfd: Any, *words: str, named: str) -> None:
    before = desk.kept()
    code, said = desk.run(capfd, "rollup", *case.words, *words)
    assert code == case.code, said
    for part in (*case.said, "got:", "expected:", "next:"):
        assert part in said, said
    if case.code == 3:
        assert named in said.splitlines()[0]
    assert "Traceback" not in said
    assert desk.kept() == before


def fast(name: str) -> Any:
    """Every third case by `make test`, all by `make test-all`: each runs a whole command."""
    return pytest.param(
        EVENTS[name], id=name, marks=[] if hash_of(name) % 3 == 0 else pytest.mark.slow
    )


def hash_of(name: str) -> int:
    return sum(name.encode())


@pytest.mark.parametrize("case", [fast(name) for name in EVENTS])
def test_a_delivery_is_counted_or_refused(desk, case, capfd):
    put(case, desk.logs / case.name)
    if case.rows is None:
        is_refused(desk, case, capfd, named=case.name)
        return
    code, said = desk.run(capfd, "rollup", *case.words)
    assert code == 0, said
    assert desk.rows() == case.rows
    assert desk.rows()[0] == sum(desk.rows()[1:])
    assert {*filter(None, case.customers)} <= desk.customers()


@pytest.mark.slow
@pytest.mark.parametrize("case", BOMBS.values(), ids=BOMBS.keys())
def test_a_gzip_bomb_is_refused_in_little_time_and_memory(desk, case, capfd):
    put(case, desk.logs / case.name)
    seconds, before = os.times().user, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    is_refused(desk, case, capfd, named=case.name)
    assert os.times().user - seconds < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000


def side(
    table: str, content: Any, *said: str, name: str = "side.csv", words: tuple[str, ...] = ()
) -> Any:
    return table, Case(name, content, words, said=said, code=3)


def sides(table: str, content: Any, n_rows: int, *, name: str = "side.csv") -> Any:
    return table, Case(name, content, rows=(n_rows, n_rows, 0, 0, 0), code=0)


SUBSCRIPTION = b"customer_id,start_date,end_date,price_month\n"

SIDES = {
    "Latin-1": side("customers", b"customer_id,customer_name\nfirst,Jos\xe9\n", "line 2", "not UTF-8"),
    "a byte order mark and CRLF": sides("customers", "\ufeffcustomer_id,customer_name\r\nfirst,José\r\n".encode(), 1),
    "a header only": sides("contacts", b"customer_id,contacted_at\n", 0),
    "a wrong header only": side("customers", b"name,owner\n", "line 1", "source.side_columns.customers.customer_id"),
    "a column in other capitals": side("customers", b"customer_id,Customer_Name\nfirst,A\n", "source.side_columns.customers.customer_name=Customer_Name"),
    "a customer twice": side("customers", b"customer_id,owner\nfirst,a\nfirst,b\n", "first 2 times"),
    "contradicting versions": side("customers", b"customer_id,owner,valid_from\nfirst,a,2026-01-01\nfirst,b,2026-01-01\n", "first 2 times"),
    "two versions": sides("customers", b"customer_id,owner,valid_from\nfirst,a,2026-01-01\nfirst,b,2026-01-02\n", 2),
    "an id of spaces": side("customers", b"customer_id\nfirst\n  \n", "line 3", "customer_id"),
    "NUL in an id": side("customers", b"customer_id\nfirst\na\0\n", "line 3", "customer_id"),
    "a quote that is never closed": side("customers", b'customer_id,customer_name\nfirst,"a\nb,c\n', "line 2", "never closed"),
    "ids that look like nothing": sides("customers", b"customer_id,customer_name\nfirst,NA\nNA,null\nnull,None\n", 3),
    "script, formulas, bidi and emoji in a name": sides("customers", 'customer_id,customer_name,owner\nfirst,"=HYPERLINK(""http://x"")\u202e👩‍👩‍👧",<script>\n'.encode(), 1),
    "1 MB in a name": sides("customers", b"customer_id,customer_name\nfirst," + b"x" * 1_000_000 + b"\n", 1),
    "a float as id in JSON": side("customers", b'{"customer_id":7.0}\n', "line 1", "a number", name="side.jsonl", words=("source.integer_ids=true",)),
    "an object as id in JSON": side("customers", b'{"customer_id":{"a":1}}\n', "line 1", "no text", name="side.jsonl"),
    "brackets without end in JSON": side("customers", b'{"customer_id":"first"}\n' + b"[" * 99_999 + b"\n", "line 2", "not a JSON object", name="side.jsonl"),
    "a lone surrogate in JSON": side("customers", b'{"customer_id":"first","owner":"\\ud800"}\n', "line 1", name="side.jsonl"),
    "a JSON array": side("customers", b'[{"customer_id":"first"}]\n', "jq", name="side.json"),
    "Parquet cut short": side("customers", parquet(customer_id=["first"])[:-9], "whole Parquet file", name="side.parquet"),
    "a time without end": side("customers", parquet(customer_id=["first"], signed_up_at=pa.array([2**62], pa.timestamp("us"))), "line 1", "signed_up_at", name="side.parquet"),
    "the year 1": side("subscriptions", SUBSCRIPTION + b"first,0001-01-01,,\n", "line 2", "start_date", "1900"),
    "never, as registers write it": sides("subscriptions", SUBSCRIPTION + b"first,2026-01-01,9999-12-31,\n", 1),
    "an end before the start": sides("subscriptions", SUBSCRIPTION + b"first,2026-02-01,2026-01-01,\n", 1),
    "money with a comma": side("subscriptions", SUBSCRIPTION + b'first,2026-01-01,,"9,90"\n', "line 2", "price_month", "decimal point"),
    "money with a sign": side("subscriptions", SUBSCRIPTION + "first,2026-01-01,,€9\n".encode(), "line 2", "price_month", "currency"),
    "money that is no number": side("subscriptions", parquet(customer_id=["first"], start_date=[date(2026, 1, 1)], price_month=[float("nan")]), "line 1", "price_month", name="side.parquet"),
    "contacts of unknown customers": sides("contacts", b"customer_id,contacted_at\nnobody,2026-02-01\n", 1),
    "a share above one": side("contacts", b"customer_id,contacted_at,propensity\nfirst,2026-02-01,2\n", "line 2", "propensity"),
    "HTML": side("contacts", b"<html>", "web page"),
    "an empty file": side("contacts", b"", "an empty file"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("table", "case"),
    [pytest.param(*SIDES[name], id=name, marks=[] if hash_of(name) % 3 == 0 else pytest.mark.slow) for name in SIDES],
)  # fmt: skip
def test_a_side_table_is_read_or_refused(desk, table, case, capfd):
    path = desk.place / case.name
    put(case, path)
    word = f"source.{table}='{path}'"
    if case.rows is None:
        is_refused(desk, case, capfd, word, named=case.name)
        return
    code, said = desk.run(capfd, "rollup", word)
    assert code == 0, said
    assert len(tables.read(desk.place / "data" / table, made_by="rollup")) == case.rows[0]


@pytest.mark.slow
def test_side_tables_in_files_that_do_not_fit_together_are_refused(desk, capfd):
    (desk.place / "c1.parquet").write_bytes(parquet(customer_id=["first"], size=[1]))
    (desk.place / "c2.parquet").write_bytes(parquet(customer_id=["other"], size=["x"]))
    case = refused("c*.parquet", b"", "source.customers", "size", code=3)
    is_refused(desk, case, capfd, f"source.customers='{desk.place}/c*.parquet'", named="customers")


@pytest.mark.slow
def test_a_file_that_vanishes_is_refused_and_its_rows_stay(desk, capfd):
    (desk.logs / "a.csv").rename(desk.place / "a.csv")
    (desk.logs / "b.csv").write_bytes(GOOD)
    is_refused(desk, refused("a.csv", b"", "has vanished", "put it back"), capfd, named="a.csv")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(desk, capfd):
    path = desk.logs / "b.csv"
    path.write_bytes(GOOD)
    path.chmod(0)
    code, said = desk.run(capfd, "rollup")
    assert code == 1
    assert "b.csv" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["encoding: NUL in an id", "kind: bzip2", "time: days without end", "place: a pipe"]
)
def test_check_refuses_the_same_and_writes_nothing(desk, name, capfd):
    case = EVENTS[name]
    put(case, desk.logs / case.name)
    before = desk.kept()
    code, said = desk.run(capfd, "check", *case.words)
    assert code == 3, said
    assert case.name in said
    assert "Traceback" not in said
    assert desk.kept() == before


def test_there_are_enough_cases():
    cases = [(c.name, c.words, json.dumps(repr(c.content))) for c in EVENTS.values()]
    assert len(set(cases)) == len(cases)
    assert len(cases) + len(SIDES) + len(BOMBS) >= 60
