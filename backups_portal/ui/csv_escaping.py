"""Lines of CSV that are safe from formula injection in spreadsheets."""

import csv
import io
from collections.abc import Iterable

# A spreadsheet set to Japanese or Chinese runs the full-width ones as formulas.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001
# The same as a PostgreSQL regular expression, for texts that need an apostrophe.
FORMULA_PATTERN = "^'*[" + "".join(FORMULA_STARTS).replace("-", r"\-") + "]"


def csv_line(values: Iterable[object]) -> str:
    """Write one line (RFC 4180) and its line end, escaping formulas."""
    out = io.StringIO()
    row = [harmless(value) if isinstance(value, str) else value for value in values]
    csv.writer(out, lineterminator="\r\n").writerow(row)
    return out.getvalue()


def harmless(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would run.

    Apostrophes before a formula get one more, so that `as_meant` can restore every text.
    """
    return f"'{text}" if _would_run(text) else text


def as_meant(text: str) -> str:
    """Remove the apostrophe that `harmless` has added."""
    return text[1:] if text.startswith("'") and _would_run(text) else text


def _would_run(text: str) -> bool:
    return text.lstrip("'").startswith(FORMULA_STARTS)
