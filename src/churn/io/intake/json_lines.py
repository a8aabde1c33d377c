"""JSON lines → blocks of rows as text; a line that is no object is kept with its number."""

from collections.abc import Iterator, Sequence
from typing import IO

import pyarrow as pa
from sqlglot import exp

from churn.contracts import EVENTS, REQUIRED
from churn.errors import InputError
from churn.io.engine import Engine
from churn.io.intake import declared, formats
from churn.io.intake.declared import IDS
from churn.io.intake.formats import Block, Broken
from churn.settings import SourceSettings
from churn.usage.advice import shown
from churn.usage.columns import literal, parsed_query


def blocks(
    stream: IO[bytes], *, path: str, source: SourceSettings, engine: Engine
) -> Iterator[Block]:  # fmt: skip
    """The rows of a file of JSON lines under our own column names."""
    seen: set[str] = set()
    keys: list[str] = []
    first = ""
    for lines, numbers in formats.line_blocks(stream, path=path):
        first = first or next(iter(lines), "")
        if first.lstrip().startswith("["):
            raise not_json_lines(path, first)
        engine.bind(
            "lines", pa.table({"line": pa.array(numbers), "raw": pa.array(lines, pa.string())})
        )
        found = engine.table(_query(source))
        keys = keys or next((k for k in found["keys"].to_pylist() if k), [])
        _refuse_other_types(found, path=path, source=source)
        block = _block(found)
        seen |= {n for n in EVENTS.columns if block.rows[n].null_count < block.rows.num_rows}
        yield block
    missing = [name for name in REQUIRED["events"] if name not in seen]
    if missing and not keys:
        raise not_json_lines(path, first)
    if missing:
        mapped = {ours: source.columns.get(ours, ours) for ours in missing}
        declared.required_columns(
            path, keys, "events", mapping=source.columns | mapped, key="source.columns"
        )


def not_json_lines(path: str, first: str) -> InputError:
    """The refusal of JSON that is not one object a line; `first` is its first line."""
    is_array = first.lstrip().startswith("[")
    return InputError(
        f"{path} line 1: not JSON lines",
        got="a JSON array" if is_array else shown(first),
        expected="one JSON object on every line",
        next_step=f"write it as JSON lines, for example with `jq -c '{'.[]' if is_array else '.'}'`",
    )


def _query(source: SourceSettings) -> exp.Expr:
    """The fields of every line of table `lines` as text, with the JSON types of ids; a line that
    is no JSON object has `is_object` false and no fields."""
    names = {ours: source.columns.get(ours, ours) for ours in EVENTS.columns}
    fields = [f"{_field(theirs, 'text')} AS {ours}" for ours, theirs in names.items()]
    types = [f"{_field(names[ours], 'type')} AS {ours}_type" for ours in (*IDS, "event")]
    return parsed_query(
        f"""
        SELECT line, raw, NOT j IS NULL AS is_object, {", ".join(fields + types)},
            JSON_KEYS(j) AS keys
        FROM (
            SELECT line, raw, CASE WHEN JSON_TYPE(v) = 'OBJECT' THEN v END AS j
            FROM (SELECT line, raw, CASE WHEN JSON_VALID(raw) THEN raw END AS v FROM lines) AS a
        ) AS b
        ORDER BY line
        """
    )


def _field(name: str, what: str) -> str:
    """SQL for the text or the JSON type of field `name` of `j`; `a.b` also finds b inside a."""
    if not name:
        return "CAST(NULL AS TEXT)"
    paths = [json_path([name])] + ([json_path(name.split("."))] if "." in name else [])
    function = "JSON_EXTRACT_STRING" if what == "text" else "JSON_TYPE"
    found = [f"{function}(j, {literal(path)})" for path in paths]
    return found[0] if len(found) == 1 else f"COALESCE({', '.join(found)})"


def json_path(steps: Sequence[str]) -> str:
    return "$" + "".join('."' + step.replace('"', "") + '"' for step in steps)


def _refuse_other_types(found: pa.Table, *, path: str, source: SourceSettings) -> None:
    """Raise `InputError` for an id that is no text (nor a whole number, where that is allowed), and
    for an event that is an array or an object."""
    for ours in (*IDS, "event"):
        kinds = set(pa.compute.unique(found[f"{ours}_type"]).to_pylist())
        for kind in sorted(kinds - {None, "NULL", "VARCHAR"}):
            is_whole = kind in ("BIGINT", "UBIGINT")
            is_nested = kind in ("ARRAY", "OBJECT")
            if is_whole and (source.integer_ids or ours not in ("customer_id", "event")):
                continue
            if ours == "event" and not is_nested:
                continue
            first = found.filter(pa.compute.equal(found[f"{ours}_type"], kind)).slice(0, 1)
            where = (
                f"{path} line {first['line'][0].as_py()} column {source.columns.get(ours, ours)!r}"
            )
            if is_nested or kind == "BOOLEAN":
                raise declared.no_text(where, ours, str(first[ours][0].as_py()))
            got = f"{first[ours][0].as_py()} ({kind})"
            raise declared.number_as_id(where, ours, got, kind="integer" if is_whole else "number")


def _block(found: pa.Table) -> Block:
    good = found["is_object"]
    bad = found.filter(pa.compute.invert(good)).select(["line", "raw"]).to_pylist()
    rows = found.filter(good)
    broken = [Broken(row["line"], "not a JSON object", row["raw"]) for row in bad]
    return Block(rows.select(list(EVENTS.columns)), rows["line"].to_numpy(), broken)
