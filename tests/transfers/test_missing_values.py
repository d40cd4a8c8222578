"""A missing value is not zero, and no location is not on the equator, when hashes are compared."""

from itertools import product

import psycopg

from backups_portal.transfers.move.lane_digests import ROW_HASH
from restores.snapshot_loader import Target
from tests.projectdatabases import DEVICE
from tests.transfers.engine import add_device

PLACES = (None, "(0,0)", "(0,1)", "(1,0)", "(1,1)")
TEXTS, JSON = (None, "", "0"), (None, "{}", "0", "null")
# A record has a number or a text.
RECORDS = [
    (number, text, place, json)
    for number, text, place, json in product((None, 0.0, 1.0), TEXTS, PLACES, JSON)
    if number is None or text is None
]
INSERT = """INSERT INTO variable (series_id, time, number_value, text_value, location, metadata,
    group_key) VALUES (%s, %s, %s, %s, %s, %s, %s)"""


def store(database: Target) -> None:
    add_device(database, DEVICE, "Truck")
    with psycopg.connect(database.dsn) as connection:
        connection.execute(
            "INSERT INTO series (id, device_id, variable, type) VALUES (1, %s, 'v', 'number')",
            [DEVICE],
        )
        with connection.cursor() as cursor:
            cursor.executemany(INSERT, [(1, "2026-03-01Z", *record, "g") for record in RECORDS])


def test_records_that_differ_have_other_hashes(source: Target) -> None:
    store(source)
    with psycopg.connect(source.dsn) as connection:
        found = connection.execute(
            f"""SELECT array_agg(concat_ws(' | ', number_value::text, quote_nullable(text_value),
                                           location::text, metadata::text))
                FROM variable v GROUP BY {ROW_HASH} HAVING count(*) > 1""".encode()
        ).fetchall()
    assert found == []
