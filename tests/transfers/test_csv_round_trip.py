"""Every way in imports what any way out exports, and spreadsheets execute none of it."""

import csv
import io
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backups_portal.accounts.models import Account
from backups_portal.projectdb.files import put_file, spool_file
from backups_portal.projectdb.record_csv import write_rows
from backups_portal.projectdb.record_writer import send
from backups_portal.projects.models import Project
from backups_portal.transfers.csv_files.csv_format import read_rows
from backups_portal.transfers.csv_files.csv_import_export import export_csv, import_csv
from tests.transfers.projects import DEVICE, add_truck, open_project, run_csv

NOW = datetime(2026, 5, 1, tzinfo=UTC)
TRICKY = [
    *("89014103211118510720", "007", "0", "42", "1e5", "-1", "+49151", "1.50", ".5", "0x10"),
    *("true", "FALSE", "NaN", "Infinity", "", " ", " x", "x ", "none", "null", "variable"),
    *(
        "=1+1",
        "'=1+1",
        "''=1+1",
        "'",
        "'quoted'",
        "@SUM(A1)",
        "-cmd",
        "\tx",
        "\rx",
        "\n=x",
        "\uff1d1",
    ),
    *('"', '""', 'say "hi"', "a,b", "a;b", "two\nlines", "two\r\nlines", "\\.", "\ufeffx", "é🚚"),
]
NUMBERS = [0.30000000000000004, 12345678901234568.0, -5, 1e300, 5e-324, 0.1]
WORDS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXT = st.sampled_from(TRICKY) | st.text(WORDS, max_size=20)
NAMES = TEXT.filter(bool)
VALUES = (
    TEXT
    | st.sampled_from(NUMBERS)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**53), 2**53)
    | st.booleans()
    | st.none()
)
RECORDS = st.fixed_dictionaries(
    {
        "variable": NAMES.map(lambda text: text[:100]),
        "value": VALUES,
        "unit": TEXT.map(lambda text: text[:25]),
        "group": NAMES.map(lambda text: text[:100]),
        "location": st.none()
        | st.fixed_dictionaries({"lat": st.floats(-90, 90), "lng": st.floats(-180, 180)}),
        "metadata": st.none() | st.dictionaries(TEXT, VALUES, max_size=3),
    }
)
STORED = """
    SELECT variable, jsonb_typeof(value), value::text, unit, "group", time, location::text,
           metadata::text
    FROM variable_record WHERE device = %s ORDER BY time, id"""


def page_export(project: Project, owner: Account) -> bytes:
    return "".join(export_csv(project, DEVICE, actor=owner)).encode()


def job_export(project: Project, owner: Account) -> bytes:
    run_csv(project, "export", "out.csv")
    with open_project(project) as connection, spool_file(connection, "out.csv") as file:
        return file.read()


def page_import(project: Project, owner: Account, device: str, content: bytes) -> None:
    import_csv(project, device, io.BytesIO(content), actor=owner)


def job_import(project: Project, owner: Account, device: str, content: bytes) -> None:
    with open_project(project) as connection:
        put_file(connection, path="in.csv", content=content)
    run_csv(project, "import", "in.csv", device)


def test_every_record_comes_back_by_every_road(backup: Project, owner: Account) -> None:
    copies = [f"{number:024}" for number in range(4)]
    for copy in copies:
        add_truck(backup, copy)

    @settings(max_examples=5, deadline=None, database=None, derandomize=True)
    @given(records=st.lists(RECORDS, min_size=1, max_size=20))
    @example([{"variable": text, "value": text, "unit": text[:25], "group": text}
              for text in TRICKY if text] + [{"variable": "n", "value": n} for n in NUMBERS]
             + [{"variable": "v", "value": v} for v in ("", None, True, False)])  # fmt: skip
    def goes_round(records: list[dict[str, Any]]) -> None:
        with open_project(backup) as connection:
            connection.execute("TRUNCATE variable, series")
            timed = [{**r, "time": NOW + timedelta(seconds=n)} for n, r in enumerate(records)]
            send(connection, device_id=DEVICE, records=timed)
        files = page_export(backup, owner), job_export(backup, owner)
        roads = itertools.product(files, (page_import, job_import))
        for (content, taken_in), copy in zip(roads, copies, strict=True):
            taken_in(backup, owner, copy, content)
        with open_project(backup) as connection:
            found = [connection.execute(STORED, [key]).fetchall() for key in (DEVICE, *copies)]
        assert len(found[0]) == len(records)
        assert [rows == found[0] for rows in found] == [True] * len(found)

    goes_round()


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(variable=NAMES, value=VALUES)
def test_every_text_comes_back(variable: str, value: Any) -> None:
    text = "".join(write_rows([(variable, value, variable, variable, None, None, None, NOW)]))
    record = read(text)
    assert (record.variable, record.group, record.unit) == (variable, variable, variable)
    kept = {"string": record.text, "none": None}.get(record.type, record.number)
    assert kept == value
    assert (record.type == "boolean") == isinstance(value, bool)


@pytest.mark.parametrize("given_out", [page_export, job_export])
def test_no_cell_is_one_that_a_spreadsheet_would_run(
    backup: Project, owner: Account, given_out: Callable[..., bytes]
) -> None:
    with open_project(backup) as connection:
        records = [{"variable": t, "value": t, "unit": t, "group": t} for t in TRICKY if t]
        send(connection, device_id=DEVICE, records=[*records, {"variable": "n", "value": -5}])
    rows = list(csv.DictReader(io.StringIO(given_out(backup, owner).decode(), newline="")))
    cells = [row[name] for row in rows for name in ("variable", "value", "unit", "group")]
    run = {
        cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))
    }
    assert run == {"-5"}
    assert len(rows) == 10 + len(records) + 1


def read(text: str) -> Any:
    (item,) = read_rows(io.StringIO(text, newline=""), now=NOW, group="g")
    return item if not isinstance(item, tuple) else item[1]


@pytest.mark.parametrize(
    ("text", "kind"),
    [("89014103211118510720", "string"), ("007", "string"), ("-007", "string"), ("00.5", "string"),
     ("+49151", "string"), ("9007199254740993", "string"), ("'-5", "string"), ("1e999", "string"),
     ("12345678901234567890", "string"), ("1_000", "string"), ("٣", "string"), ("1,5", "string"),
     ("9007199254740992", "number"), ("100000000000000000000", "number"), ("0", "number"),
     ("-5", "number"), (".5", "number"), (" 5", "number"), ("0.30000000000000004", "number"),
     ("3.14159265358979323846", "number"), ("1E+5", "number"), ("TRUE", "boolean")],
)  # fmt: skip
def test_without_types_a_value_is_what_loses_nothing(text: str, kind: str) -> None:
    quoted = text.replace('"', '""')
    record = read(f'variable,value\nt,"{quoted}"\n')
    assert record.type == kind
    assert kind != "string" or record.text == text.removeprefix("'")


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [("x", "number", "the value 'x' is not of the type number"), ("", "number", "not of the type"),
     ("nan", "number", "not of the type"), ("1_0", "number", "not of the type"),
     ("1e999", "number", "not a finite number"), ("1", "boolean", "not of the type boolean"),
     ("x", "none", "not of the type none"), ("x", "gps", "value_type is 'gps'")],
)  # fmt: skip
def test_a_value_that_is_not_of_its_type_is_a_bad_line(value: str, kind: str, says: str) -> None:
    assert says in read(f"variable,value,value_type\nt,{value},{kind}\n").reason


def test_negative_numbers_are_written_as_numbers() -> None:
    (text,) = write_rows([("t", -5, "g", None, None, None, None, NOW)])
    assert text.splitlines()[1].startswith("t,-5,g,")
