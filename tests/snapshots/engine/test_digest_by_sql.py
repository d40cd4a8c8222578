"""The server computes every table's digest, so that reader and checker share no code.

Both see the same rows: the server's transaction is REPEATABLE READ and fixed before the
snapshot is taken, and nothing writes in between.
"""

from pathlib import Path

import psycopg
from psycopg import sql

from backups_portal.projectdb.catalogue import BY_NAME, Table, digest_columns
from backups_portal.projectdb.tokens import TokenGrant, create_token
from snapshots.engine.segments import total_digest
from tests.projectdatabases import DEVICE, KEYS, START, Backups, Connection, add_rows

DEFINITION = Path(__file__).with_name("sqldigest.sql")
# Columns of a segment that are parts of a column of the table.
EXPRESSIONS = {"longitude": "location[0]", "latitude": "location[1]"}


def digest_by_sql(connection: Connection, table: Table) -> str:
    """Compute the digest of a table's rows as 32 hex digits."""
    terms = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT (pg_temp.term({}, pg_temp.word({}))).*").format(
            sql.Literal(name), sql.SQL(EXPRESSIONS.get(name, f'"{name}"'))
        )
        for name in digest_columns(table)
    )
    query = sql.SQL(
        """SELECT lpad(to_hex(pg_temp.wrap(coalesce(sum(high), 0))), 16, '0')
               || lpad(to_hex(pg_temp.wrap(coalesce(sum(low), 0))), 16, '0')
           FROM {}, LATERAL (
               SELECT pg_temp.mix(pg_temp.add(
                          pg_temp.wrap(sum(low)), pg_temp.hex('9e3779b97f4a7c15'))) AS low,
                      pg_temp.mix(
                          pg_temp.wrap(sum(high)) # pg_temp.hex('d6e8feb86659fd93')) AS high
               FROM ({}) AS terms) AS row"""
    ).format(sql.Identifier(table.name), terms)
    row = connection.execute(query).fetchone()
    assert row is not None
    return str(row[0])


def fill(source: Connection) -> None:
    """Insert values of every kind into several tables."""
    add_rows(source, 0, 30)
    source.execute(
        "INSERT INTO variable (series_id, time, number_value, text_value, group_key, location,"
        " metadata, created_at) VALUES"
        " (2, %s, -0.0, NULL, '', '(-46.6,23.25)', '{\"b\": [1, null],  \"a\": \"ü\"}', %s),"
        " (3, '1969-12-31 23:59:59.999Z', NULL, 'door “open”',"
        " 'a longer group key of 38 characters',"
        " NULL, NULL, %s), (3, '0099-01-01', NULL, NULL, 'g', '(0,0)', '{}', now())",
        [START, START, START],
    )
    source.execute('UPDATE device SET tags = \'[{"key": "fleet", "value": "Nord"}]\'')
    source.execute(
        "INSERT INTO secret (id, key, sealed_value, value_length) VALUES (%s, 'K', %s, 3)",
        ["e" * 24, bytes(range(256))],
    )
    source.execute("INSERT INTO entity (id, name) VALUES (%s, 'Trips')", ["e" * 24])
    source.execute(
        "INSERT INTO entity_record (entity_id, id, data)"
        " SELECT %s, gen_random_uuid(), jsonb_build_object('km', n)"
        " FROM generate_series(1, 9) AS n",
        ["e" * 24],
    )
    create_token(source, TokenGrant("device", name="Default", device_id=DEVICE), keys=KEYS)


def test_the_server_computes_the_same_digests(backups: Backups, source: Connection) -> None:
    fill(source)
    with psycopg.connect(backups.source.dsn) as checker:
        checker.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        checker.execute(DEFINITION.read_bytes())
        manifest = backups.take()
        add_rows(source, 3, 5)
        for name in manifest.table_rows:
            expected = str(total_digest(manifest.of(name)))
            assert digest_by_sql(checker, BY_NAME[name]) == expected, name


def test_the_server_sees_a_difference(backups: Backups, source: Connection) -> None:
    fill(source)
    manifest = backups.take()
    with psycopg.connect(backups.source.dsn) as checker:
        checker.execute(DEFINITION.read_bytes())
        checker.execute("UPDATE variable SET number_value = number_value + 1e-9 WHERE id = 7")
        table = BY_NAME["variable"]
        assert digest_by_sql(checker, table) != str(total_digest(manifest.of("variable")))
