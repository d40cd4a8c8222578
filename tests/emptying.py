"""Empty the tables after a test that has committed, in a few milliseconds."""

from typing import Any

from django.core.management.color import Style
from django.db.backends.postgresql.operations import DatabaseOperations

# More than a test leaves, and less than deleting row by row can do quickly.
MAX_EMPTIED_BYTES = 512 * 1024
# TRUNCATE may remove its rows, DELETE may not.
APPEND_ONLY = "audit_auditevent"

# A dozen rows are in two or three tables, but truncating all tables with their indexes creates and
# removes two hundred files. Both ways wait for other sessions' writes.
BY_ROW = """
DO $$
DECLARE name text;
DECLARE names text[] := ARRAY[{names}];
DECLARE has_rows boolean;
BEGIN
    IF (SELECT max(pg_relation_size(one::regclass)) FROM unnest(names) one) > {most} THEN
        {truncate};
        RETURN;
    END IF;
    FOREACH name IN ARRAY names LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', name) INTO has_rows;
        IF has_rows THEN
            EXECUTE format(
                CASE name WHEN '{append_only}' THEN 'TRUNCATE %s' ELSE 'DELETE FROM %s' END, name
            );
        END IF;
    END LOOP;
END $$
"""


def empty_by_row() -> None:
    """Let tests that commit delete the rows instead of truncating every table."""
    flush = DatabaseOperations.sql_flush

    def sql_flush(
        self: DatabaseOperations, style: Style, tables: list[str], **options: Any
    ) -> list[str]:
        statements: list[str] = flush(self, style, tables, **options)
        if any(options.values()) or not statements:
            return statements
        (truncate,) = statements
        quoted = [self.quote_name(table) for table in tables]
        by_row = BY_ROW.format(
            names=", ".join(f"'{name}'" for name in quoted),
            most=MAX_EMPTIED_BYTES,
            truncate=truncate.removesuffix(";"),
            append_only=self.quote_name(APPEND_ONLY),
        )
        return [f"LOCK TABLE {', '.join(quoted)} IN ACCESS EXCLUSIVE MODE", by_row]

    DatabaseOperations.sql_flush = sql_flush
