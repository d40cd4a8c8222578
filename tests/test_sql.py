"""Statements consist of the code's own words; other input is passed as parameters.

Values go through psycopg's placeholders and names through `psycopg.sql`. This list has everything
else that becomes part of a statement, with the reason why no outsider controls it (decision 0012).
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

STATEMENT = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|COPY)\b")
CONSTANT = re.compile(r"[A-Z][A-Z_]*")
CONDITIONS = "made by Selection.conditions and find: names of columns, and parameters"
OURS = "one of two or three texts in the same function"
ALLOWED = {
    "backups_portal/tagoio_api/routes/entities.py": {"statement": OURS},
    "backups_portal/projectdb/record_edits.py": {"text": CONDITIONS, "together": CONDITIONS},
    "backups_portal/demo/past_records.py": {"table": OURS, "values": OURS},
    "backups_portal/transfers/csv_files/csv_format.py": {
        "HARMLESS.format('variable')": OURS,
        "HARMLESS.format('value_text')": OURS,
        "HARMLESS.format('unit')": OURS,
        "HARMLESS.format('\"group\"')": OURS,
    },
    "backups_portal/projectdb/files.py": {"inside": OURS, "flat": OURS},
    "backups_portal/projectdb/record_reader.py": {
        "where": CONDITIONS,
        "order": "names of columns that query_strings.py has chosen",
        "selection.order": "ascending or descending",
        "together": CONDITIONS,
        "ending": "a name of a column behind ORDER BY, and a LIMIT with a parameter, or nothing",
        "bucket": "an interval of INTERVALS: _checked refuses any other",
        "number": "a function of AGGREGATES: _checked refuses any other",
    },
    "backups_portal/projectdb/record_filter.py": {
        "columns": "a constant of the caller",
        "union": CONDITIONS,
        "ordered": "names of columns, and whole numbers",
        "select": "made of `columns`",
        "own": "a name of a parameter, which is numbered",
        "where": CONDITIONS,
    },
    "backups_portal/projectdb/catalogue.py": {
        "variable_columns(without=without)": "names of columns of the catalogue"
    },
}


def put_in() -> Iterator[tuple[str, str]]:
    """Yield file and expression of everything put into a statement's text, except constants."""
    for app in ("backups_portal", "snapshots", "restores"):
        for file in sorted((Path(settings.BASE_DIR) / app).rglob("*.py")):
            if "migrations" not in file.parts:
                name = str(file.relative_to(settings.BASE_DIR))
                yield from ((name, found) for found in expressions(file.read_text()))


def expressions(code: str) -> Iterator[str]:
    """Yield the expressions inside f-strings that contain a statement."""
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.JoinedStr):
            continue
        text = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        if STATEMENT.search(text):
            for part in node.values:
                if isinstance(part, ast.FormattedValue):
                    found = ast.unparse(part.value)
                    if not CONSTANT.fullmatch(found):
                        yield found


def test_only_what_is_listed_is_put_into_statements() -> None:
    found: dict[str, set[str]] = {}
    for file, expression in put_in():
        found.setdefault(file, set()).add(expression)
    assert found == {file: {*reasons} for file, reasons in ALLOWED.items()}


def test_the_search_finds_what_it_is_there_for() -> None:
    code = 'run(f"SELECT {A} FROM t WHERE x = {request.GET[name]}"); f"no {statement}"'
    assert list(expressions(code)) == ["request.GET[name]"]
