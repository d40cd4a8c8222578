"""Lines of CSV that a spreadsheet opens without running anything."""

import csv
import io
from collections.abc import Iterable

# The full-width ones are formulas where a spreadsheet is set to Japanese or Chinese.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001
# The same as a regular expression of PostgreSQL: such a text gets an apostrophe first.
FORMULA_PATTERN = "^'*[" + "".join(FORMULA_STARTS).replace("-", r"\-") + "]"


def csv_line(values: Iterable[object]) -> str:
    """Write one line (RFC 4180) with its end; formulas get an apostrophe first."""
    out = io.StringIO()
    row = [harmless(value) if isinstance(value, str) else value for value in values]
    csv.writer(out, lineterminator="\r\n").writerow(row)
    return out.getvalue()


def harmless(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would run.

    A text of apostrophes and a formula gets one more, so that `as_meant` finds each text again.
    """
    return f"'{text}" if _would_run(text) else text


def as_meant(text: str) -> str:
    """Take the apostrophe off again that `harmless` has put before a text."""
    return text[1:] if text.startswith("'") and _would_run(text) else text


def _would_run(text: str) -> bool:
    return text.lstrip("'").startswith(FORMULA_STARTS)
