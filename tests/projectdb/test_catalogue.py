"""Every part of a project database is deliberately in or out of backups."""

from backups_portal.projectdb.catalogue import TABLES, VARIABLE_COLUMNS
from tests.projectdatabases import Connection


def test_every_table_and_column_is_classified_once(database: Connection) -> None:
    rows = database.execute(
        """SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
           WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0
             AND NOT attisdropped"""
    ).fetchall()
    live: dict[str, set[str]] = {}
    for table, column in rows:
        live.setdefault(str(table), set()).add(str(column))
    assert {table.name for table in TABLES} == set(live), "Classify it in projectdb/catalogue.py"
    for table in TABLES:
        assert set(table.key) <= live[table.name], table.name
        if table.excluded:
            assert table.columns == (), table.name
            continue
        classified = [*table.columns, *(c for e in table.exclusions for c in e.columns)]
        assert sorted(classified) == sorted(live[table.name]), (
            f"Classify the columns of {table.name} in projectdb/catalogue.py"
        )


def test_what_is_left_out_says_why() -> None:
    reasons = [table.excluded for table in TABLES if table.excluded]
    reasons += [exclusion.reason for table in TABLES for exclusion in table.exclusions]
    assert all(reason.endswith(".") for reason in reasons)
    assert {table.name for table in TABLES if table.excluded} == {
        *("instance", "change_mark", "token_origin"),
        *("transfer_run", "transfer_batch", "transfer_replaced", "transfer_returned"),
        "transfer_resource",
        *("analysis_script", "analysis_console", "file", "attachment"),
    }


def test_tables_come_after_those_that_they_refer_to(database: Connection) -> None:
    order = [table.name for table in TABLES if not table.excluded]
    references = database.execute(
        "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint"
        " WHERE contype = 'f'"
    ).fetchall()
    assert references
    for table, referred in references:
        if table in order:
            assert order.index(str(referred)) < order.index(str(table))


def test_variables_have_the_types_and_values_that_the_catalogue_says(database: Connection) -> None:
    rows = database.execute(
        """SELECT attname, format_type(atttypid, NULL), NOT attnotnull FROM pg_attribute
           WHERE attrelid = 'variable'::regclass AND attnum > 0 AND NOT attisdropped"""
    ).fetchall()
    assert set(rows) == {(item.name, item.type, item.is_nullable) for item in VARIABLE_COLUMNS}
