"""What is declared of a file: how its times are written, which of its columns are ours, and whether they can
be what they should be."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pyarrow as pa

from churn.contracts import REQUIRED, SOURCES
from churn.errors import ConfigurationError, InputError, nearest
from churn.settings import SourceSettings
from churn.usage.advice import shown

IDS = ("customer_id", "event_id", "user_id")


def refuse_unknown_formats(source: SourceSettings) -> None:
    """Raise `ConfigurationError` for a time zone or a time format that nobody knows."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(source.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(
            "source.timezone is not a time zone",
            got=str(source.timezone),
            expected="a name of the IANA database",
            next_step="set source.timezone=Europe/Berlin, for example",
        ) from error
    if source.ts_format in ("iso", "epoch_s", "epoch_ms"):
        return
    if not _is_strptime(source.ts_format):
        raise ConfigurationError(
            "source.ts_format is not a format of times",
            got=source.ts_format,
            expected="iso, epoch_s, epoch_ms, or a strptime format",
            next_step="set source.ts_format='%d.%m.%Y %H:%M:%S', for example",
        )


def _is_strptime(text: str) -> bool:
    """Whether `text` is a strptime format that says the year."""
    if "%Y" not in text and "%y" not in text:
        return False
    try:
        datetime.strptime(datetime(2001, 2, 3, tzinfo=UTC).strftime(text), text)
    except ValueError:
        return False
    return True


def required_columns(
    path: str, there: Sequence[str], table: str, *, mapping: Mapping[str, str], key: str
) -> dict[str, str]:
    """Our column names → theirs, for the columns of `table` that the file has.

    A column mapped to nothing is left out. Raises `InputError` with the override to paste when a
    required or a mapped column is not there, when two columns differ in capitals only, and when one
    differs from ours in capitals: left out in silence, a whole column would be missing.
    """
    folded = [name.casefold() for name in there]
    twice = next((name for name in there if folded.count(name.casefold()) > 1), None)
    if twice is not None:
        raise InputError(
            f"{path} has column {twice!r} more than once",
            got=f"columns {', '.join(there)}",
            expected="names that differ in more than capitals",
            next_step="rename one of them in the export; which one counts cannot be guessed",
        )
    names = {ours: mapping.get(ours, ours) for ours in SOURCES[table].columns}
    names = {ours: name for ours, name in names.items() if name or ours in REQUIRED[table]}
    for ours, theirs in names.items():
        is_meant = ours in REQUIRED[table] or ours in mapping or theirs in folded
        if theirs in there or not is_meant:
            continue
        alike = [name for name in there if name.strip().casefold() == theirs.casefold()]
        close = nearest(alike[0] if alike else theirs, list(there)) if there else ""
        meant = close.removeprefix("did you mean ").removesuffix("?") if "mean" in close else "NAME"
        raise InputError(
            f"{path} line 1 has no column {theirs!r}"
            + ("" if ours == theirs else f" ({key}.{ours})"),
            got=f"columns {', '.join(there) or 'none'}",
            expected=f"a column for {ours}" + (f"; {close}" if meant != "NAME" else ""),
            next_step=_delimiter_hint(there)
            or f"set {key}.{ours}={_pasted(meant)}"
            + ("" if ours in REQUIRED[table] else f", or {key}.{ours}= to leave it out"),
        )
    return {ours: theirs for ours, theirs in names.items() if theirs in there}


def _pasted(name: str) -> str:
    """`name` as it can be pasted behind `key=` in a shell."""
    return name if name.isidentifier() else f"'\"{name}\"'"


def _delimiter_hint(there: Sequence[str]) -> str:
    if len(there) == 1:
        for delimiter, shown in ((";", "';'"), ("\t", '"\\t"'), ("|", "'|'"), (",", "','")):
            if delimiter in there[0]:
                return f"set source.delimiter={shown}: the header looks separated by it"
    return ""


def checked_kind(path: str, ours: str, field: pa.Field, *, source: SourceSettings) -> str:
    """The kind of a Parquet column for our column `ours`; `InputError` where it cannot be that."""
    kind = kind_of(field.type)
    if ours in IDS and kind in ("integer", "number"):
        if kind == "number" or not source.integer_ids:
            raise number_as_id(f"{path} column {field.name!r}", ours, str(field.type), kind=kind)
        return kind
    is_time = ours in ("ts", "loaded_at")
    fits = {
        "value": kind in ("integer", "number", "text"),
        "event": kind in ("text", "integer", "other"),
        "text": kind in ("text", "other"),
        "item": kind in ("text", "integer", "other"),
    }.get(ours, kind in ("text", "other"))
    if is_time:
        is_epoch = source.ts_format.startswith("epoch")
        is_amount = kind in ("integer", "number")
        fits = (is_amount and is_epoch) or kind in (
            "text", "timestamp", "timestamp_ns", "instant", "date",
        )  # fmt: skip
    if fits:
        return kind
    raise InputError(
        f"{path} column {field.name!r} cannot be {ours}",
        got=f"type {field.type}",
        expected="a time" if is_time else "a number" if ours == "value" else "text",
        next_step="set source.ts_format=epoch_s or epoch_ms" if is_time and kind in (
            "integer", "number") else f"write {ours} with that type, or map another column: "
            f"source.columns.{ours}=NAME",
    )  # fmt: skip


def kind_of(type_: pa.DataType) -> str:
    """The kind (`events.KINDS`) of an Arrow type; `unusable` for lists, bytes and the like."""
    kinds = pa.types
    if kinds.is_dictionary(type_):
        return kind_of(type_.value_type)
    if kinds.is_string(type_) or kinds.is_large_string(type_) or kinds.is_string_view(type_):
        return "text"
    if kinds.is_timestamp(type_):
        return "instant" if type_.tz else "timestamp_ns" if type_.unit == "ns" else "timestamp"
    if kinds.is_integer(type_):
        return "integer"
    if kinds.is_floating(type_) or kinds.is_decimal(type_):
        return "number"
    if kinds.is_date(type_):
        return "date"
    return (
        "other" if kinds.is_boolean(type_) or str(type_) == "extension<arrow.uuid>" else "unusable"
    )


def number_as_id(where: str, ours: str, got: str, *, kind: str) -> InputError:
    """The refusal of an id that is a number: 007 is not 7, and 19 digits do not fit a float."""
    if kind == "number":
        next_step = f"write {ours} as text in the export: digits may be lost already"
    else:
        next_step = (
            "write ids as text, or set source.integer_ids=true to take whole numbers as written"
        )
    return InputError(
        f"{where}: {ours} is a number", got=got, expected="ids as text", next_step=next_step
    )


def no_text(where: str, ours: str, value: str) -> InputError:
    """The refusal of a JSON array, object or truth value where a text is needed."""
    return InputError(
        f"{where}: {ours} is no text",
        got=shown(value),
        expected="text",
        next_step=f"map the field inside it, source.columns.{ours}=FIELD.INNER, or write it as text",
    )
