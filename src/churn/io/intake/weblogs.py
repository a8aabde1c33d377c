"""Web server logs → rows: the combined access log, and the error logs of nginx and Apache."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from churn.io.intake.formats import Block, Broken

MONTHS = pa.array(
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
)
NUMBERS = pa.array([f"{month:02d}" for month in range(1, 13)])

ACCESS = (
    r"^(?P<host>\S+) \S+ (?P<user>.+?) \[(?P<d>\d{2})/(?P<m>[A-Z][a-z]{2})/(?P<y>\d{4})"
    r":(?P<t>\d{2}:\d{2}:\d{2}) (?P<oh>[+-]\d{2})(?P<om>\d{2})\] "
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?:\d+|-)(?: .*)?$'
)
REQUEST = r"^(?P<method>[A-Z]+) (?P<path>/[^/?#; ]*)"
NGINX_ERROR = (
    r"^(?P<y>\d{4})/(?P<m>\d{2})/(?P<d>\d{2}) (?P<t>\d{2}:\d{2}:\d{2}) \[(?P<level>\w+)\] "
    r"\d+#\d+: (?P<message>.*)$"
)
NGINX_CLIENT = r", client: (?P<client>[^, ]+)"
APACHE_ERROR = (
    r"^\[\w{3} (?P<m>[A-Z][a-z]{2}) +(?P<d>\d{1,2}) (?P<t>\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?) "
    r"(?P<y>\d{4})\] \[(?:[\w-]*:)?(?P<level>\w+)\] (?:\[pid [^\]]*\] )?"
    r"(?:\[client (?P<client>[^\]]+?)(?::\d+)?\] )?(?P<message>.*)$"
)
MAX_EVENT_CHARACTERS = 60


def access_block(lines: list[str], numbers: np.ndarray) -> Block:
    """Requests: the authenticated user (else the address) did `METHOD /first-path-segment`, or
    met `error_4xx`, `error_5xx`. Query strings are left out: they may hold secrets."""
    text = pa.array(lines, pa.string())
    found = compute.extract_regex(text, ACCESS)
    is_good = found.is_valid()
    part = _parts(found.filter(is_good))
    nobody = compute.is_in(part["user"], pa.array(["-", '""']))
    offset = compute.binary_join_element_wise(part["oh"], part["om"], ":")
    local = _joined_time(part["y"], _month(part["m"]), part["d"], part["t"])
    rows = pa.table(
        {
            "customer_id": compute.if_else(nobody, part["host"], part["user"]),
            "ts": compute.binary_join_element_wise(local, offset, ""),
            "event": _request_event(part["request"], part["status"]),
        }
    )
    return _block(rows, is_good, text, numbers, reason="not a line of a combined access log")


def _request_event(request: pa.Array, status: pa.Array) -> pa.Array:
    part = _parts(compute.extract_regex(request, REQUEST))
    named = compute.binary_join_element_wise(part["method"], part["path"], " ")
    short = compute.utf8_slice_codeunits(named, 0, MAX_EVENT_CHARACTERS)
    failed = compute.is_in(compute.utf8_slice_codeunits(status, 0, 1), pa.array(["4", "5"]))
    family = compute.utf8_slice_codeunits(status, 0, 1)
    error = compute.binary_join_element_wise(pa.scalar("error_"), family, pa.scalar("xx"), "")
    return compute.if_else(failed, error, compute.coalesce(short, pa.scalar("other request")))


def error_block(lines: list[str], numbers: np.ndarray) -> Block:
    """Errors that a client met: `error_<level>` with the message as text. Lines that name no
    client are about the server itself and are skipped."""
    text = pa.array(lines, pa.string())
    nginx, apache = (compute.extract_regex(text, style) for style in (NGINX_ERROR, APACHE_ERROR))
    is_nginx, is_apache = nginx.is_valid(), apache.is_valid()
    one, two = _parts(nginx), _parts(apache)
    client = _parts(compute.extract_regex(one["message"], NGINX_CLIENT))["client"]
    other = compute.if_else(compute.equal(two["client"], ""), None, two["client"])
    day = compute.utf8_lpad(two["d"], 2, "0")
    ts = compute.coalesce(
        _joined_time(one["y"], one["m"], one["d"], one["t"]),
        _joined_time(two["y"], _month(two["m"]), day, two["t"]),
    )
    level = compute.coalesce(one["level"], two["level"])
    rows = pa.table(
        {
            "customer_id": compute.coalesce(client, other),
            "ts": ts,
            "event": compute.binary_join_element_wise(pa.scalar("error_"), level, ""),
            "text": compute.coalesce(one["message"], two["message"]),
        }
    )
    is_good = compute.or_(is_nginx, is_apache)
    block = _block(
        rows.filter(is_good), is_good, text, numbers, reason="not a line of an error log"
    )
    somebody = block.rows["customer_id"].is_valid()
    mask = np.asarray(somebody)
    return Block(block.rows.filter(somebody), block.lines[mask], block.broken, int((~mask).sum()))


def _parts(found: pa.Array) -> dict[str, pa.Array]:
    """The named groups of a match; NULL where nothing matched."""
    names = [field.name for field in found.type]
    return {name: compute.struct_field(found, name) for name in names}


def _month(names: pa.Array) -> pa.Array:
    """`Oct` → `10`; what is no month stays, and is refused as a time later."""
    return compute.coalesce(NUMBERS.take(compute.index_in(names, MONTHS)), names)


def _joined_time(year: pa.Array, month: pa.Array, day: pa.Array, clock: pa.Array) -> pa.Array:
    date = compute.binary_join_element_wise(year, month, day, "-")
    return compute.binary_join_element_wise(date, clock, "T")


def _block(
    rows: pa.Table, is_good: pa.Array, text: pa.Array, numbers: np.ndarray, *, reason: str
) -> Block:
    mask = np.asarray(is_good)
    bad = text.filter(compute.invert(is_good)).to_pylist()
    broken = [Broken(int(line), reason, raw) for line, raw in zip(numbers[~mask], bad, strict=True)]
    return Block(rows, numbers[mask], broken)
