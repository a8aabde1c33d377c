"""What a person is told of a value that was refused, and what to try first."""

import re


def shown(value: object) -> str:
    """A value as a person should see it in a message, at most 80 characters.

    >>> shown("a" * 100)[-5:]
    "aaa…'"
    """
    if value is None or value != value:
        return "nothing"
    text = str(value)
    return repr(text if len(text) <= 80 else text[:79] + "…")


TIME_SHAPES = (
    (r"\d{10}(\.\d+)?", "seconds since 1970: set source.ts_format=epoch_s"),
    (r"\d{13}", "milliseconds since 1970: set source.ts_format=epoch_ms"),
    (
        r"\d{1,2}/\d{1,2}/\d{4}.*",
        "a date in another format: set source.ts_format='%d/%m/%Y' or '%m/%d/%Y' (with %H:%M:%S "
        "where there is a time); which comes first, day or month, cannot be guessed",
    ),
    (
        r"\d{1,2}\.\d{1,2}\.\d{4}.*",
        "a date in another format: set source.ts_format='%d.%m.%Y' (with %H:%M:%S where there is "
        "a time)",
    ),
    (r"\d{4}/\d{2}/\d{2}.*", "a date in another format: set source.ts_format='%Y/%m/%d %H:%M:%S'"),
    (r"\d{8}", "a date in another format: set source.ts_format='%Y%m%d'"),
)


def likely_cause(column: str, value: object, reason: str) -> str:
    """What a person should try first when the first refused row looks like this."""
    text = "" if value is None or value != value else str(value)
    setting = "source.date_format" if "date_format" in reason else "source.ts_format"
    if "ts_format" in reason or "date_format" in reason:
        for shape, advice in TIME_SHAPES:
            if re.fullmatch(shape, text):
                return advice.replace("source.ts_format", setting)
        return f"another format: set {setting} to iso, epoch_s, epoch_ms or a strptime format"
    if "customers table" in reason:
        return (
            "complete the customers table, or set source.unknown_customers=keep to score them "
            "without attributes"
        )
    if column == "value" and text:
        return "write plain numbers with a decimal point, without thousands separators and currency signs"
    if "control character" in reason:
        return "correct the export; is a quote not closed in this row or before it?"
    if "was loaded" in reason:
        return "look at the clock that wrote it and at source.timezone; which of the two is right?"
    if column == "event_id":
        return "give every event an id of its own, or leave event_id out: source.columns.event_id="
    return (
        "correct the export, or raise rollup.max_rejected_share if these rows may be left out; "
        "`churn check` lists what is refused"
    )
