"""Lines of CSV that a spreadsheet opens without running anything."""

import csv
import io
from collections.abc import Iterable

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_line(values: Iterable[object]) -> str:
    """One line (RFC 4180) with its end; text that would be a formula gets an apostrophe first."""
    out = io.StringIO()
    row = [harmless(value) if isinstance(value, str) else value for value in values]
    csv.writer(out, lineterminator="\r\n").writerow(row)
    return out.getvalue()


def harmless(text: str) -> str:
    """No formula in a spreadsheet, whatever somebody signed in, asked or named a thing with."""
    return f"'{text}" if text[:1] in FORMULA_STARTS else text
