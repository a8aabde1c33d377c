"""Characters that nobody sees, or that change what is seen: spelled out wherever a person reads.

A name with U+202E would be read backwards, one with an escape sequence could clear a terminal, one with
a line break forge a line of a log.
"""

import logging
import re

_BREAKS = "\t\n\v\f\r\x85\u2028\u2029"
_UNSEEN = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u115f\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u2069\u3164\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0001-\U000e007f"
)
BREAKS, UNSEEN = re.compile(f"[{_BREAKS}]+"), re.compile(f"[{_UNSEEN}]")
_IN_A_LINE = re.compile(f"[{_BREAKS}{_UNSEEN}]")
_IN_A_TEXT = re.compile(f"[\v\f\r\x85\u2028\u2029{_UNSEEN}]")


def spelled(found: re.Match[str]) -> str:
    return f"[U+{ord(found[0]):04X}]"


def in_a_line(text: str) -> str:
    """`text` on one line, every character in it seen.

    >>> in_a_line("Acme\\nrows read 0\\x1b[2J")
    'Acme[U+000A]rows read 0[U+001B][2J'
    """
    return _IN_A_LINE.sub(spelled, text)


def in_a_text(text: str) -> str:
    """`text` with its own lines and tabs, and every other character in it seen."""
    return _IN_A_TEXT.sub(spelled, text)


def message(record: logging.LogRecord) -> str:
    """What a log record says. What was put into a sentence stays on its line; a text that is the
    whole message keeps its lines."""
    if not record.args or record.msg == "%s" or not isinstance(record.args, tuple):
        return in_a_text(record.getMessage())
    shown = tuple(in_a_line(one) if isinstance(one, str) else one for one in record.args)
    return in_a_text(str(record.msg) % shown)


class Formatter(logging.Formatter):
    """Log lines as `message` has them, with the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        said = message(record)
        if record.exc_info:
            said = f"{said}\n{in_a_text(self.formatException(record.exc_info))}"
        return said
