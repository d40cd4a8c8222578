"""Databases made by version 0.1.0 get everything that tables have gained since."""

from typing import LiteralString

from psycopg import sql

from backups_portal.projectdb.schema_upgrade import upgrade_database
from backups_portal.projects.project_creation import installation
from tests.projectdatabases import Connection

# The columns of version 0.1.0. Do not add new columns here: a Step adds them.
RELEASED = {
    "instance": "singleton prefix schema_version marks_since",
    "profile": "singleton name logo_url banner_url settings created_at updated_at",
    "network": "id name tags settings created_at updated_at",
    "connector": "id name tags settings created_at updated_at",
    "device": (
        "id name description type active visible network_id connector_id chunk_period"
        " chunk_retention tags settings created_at updated_at last_input last_output"
        " inspected_at"
    ),
    "device_parameter": "id device_id key value sent",
    "series": "id device_id variable type unit",
    "variable": "series_id time id created_at number_value text_value group_key location metadata",
    "change_mark": "chunk rows",
    "dashboard": "id label tags visible arrangement tabs settings created_at updated_at",
    "widget": "id dashboard_id settings",
    "action": "id name active tags settings created_at updated_at last_triggered",
    "analysis": (
        "id name description active run_on runtime interval variables tags settings created_at"
        " updated_at last_run"
    ),
    "analysis_script": "analysis_id version file_name language content created_at",
    "analysis_console": "id analysis_id time message",
    "access_rule": "id name active tags permissions targets settings created_at updated_at",
    "dictionary": "id name slug fallback settings created_at updated_at",
    "dictionary_language": "dictionary_id code active texts",
    "run_settings": "singleton name settings anonymous_token_hash updated_at",
    "run_user": (
        "id name email password_hash timezone company phone language active tags settings"
        " created_at updated_at last_login"
    ),
    "secret": "id key sealed_value value_length tags created_at updated_at",
    "entity": "id name schema index tags settings created_at updated_at",
    "entity_record": "entity_id id data created_at updated_at",
    "file": "path content_type size md5 public content created_at updated_at",
    "attachment": "id device_id name content_type size content created_at",
    "token": (
        "id kind device_id analysis_id name permission serie_number expires_at created_at hash"
        " sealed_value last_four last_used_at"
    ),
    "token_origin": "token_id old_hash old_last_four",
}
COLUMNS = """
SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
"""
# What else belongs to tables: types and defaults, keys and checks, indexes, triggers, and rights.
PARTS = """
WITH tables AS (
    SELECT * FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
), parts AS (
    SELECT attrelid AS oid, concat_ws(' ', attname, format_type(atttypid, atttypmod),
           attnotnull, pg_get_expr(adbin, adrelid)) AS part
    FROM pg_attribute LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
    WHERE attnum > 0 AND NOT attisdropped
    UNION ALL SELECT conrelid, pg_get_constraintdef(oid) FROM pg_constraint
    UNION ALL SELECT indrelid, pg_get_indexdef(indexrelid) FROM pg_index
    UNION ALL SELECT tgrelid, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT tables.oid, concat_ws(' ', privilege_type, 'for', grantee::regrole)
    FROM tables, aclexplode(relacl)
)
SELECT relname, part FROM parts JOIN tables USING (oid)
"""


def columns_of(database: Connection) -> set[tuple[str, str]]:
    return pairs(database, COLUMNS)


def pairs(database: Connection, query: LiteralString) -> set[tuple[str, str]]:
    return {(str(table), str(part)) for table, part in database.execute(query)}


def make_old(database: Connection) -> None:
    """Remove everything that version 0.1.0 did not have."""
    for table, column in columns_of(database):
        if table not in RELEASED:
            statement = sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(sql.Identifier(table))
        elif column not in RELEASED[table].split():
            statement = sql.SQL("ALTER TABLE {} DROP COLUMN {} CASCADE").format(
                sql.Identifier(table), sql.Identifier(column)
            )
        else:
            continue
        database.execute(statement)


def test_an_upgrade_adds_every_table_and_column(database: Connection) -> None:
    new, parts = columns_of(database), pairs(database, PARTS)
    make_old(database)
    assert columns_of(database) < new
    upgrade_database(database, installation())
    assert new - columns_of(database) == set(), "Add a Step to projectdb/schema_upgrade.py"
    assert parts - pairs(database, PARTS) == set(), "Complete the Step in schema_upgrade.py"
