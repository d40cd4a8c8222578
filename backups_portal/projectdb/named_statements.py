"""Execute statements about roles, databases and other named objects."""

from typing import LiteralString

from psycopg import Connection, sql


def execute_named(
    connection: Connection, *statements: LiteralString, **names: str | sql.Composable
) -> None:
    """Execute statements one by one, with names in place of their braces.

    Args:
        names: Strings become quoted identifiers; composed SQL is inserted as it is.
    """
    parts = {
        key: sql.Identifier(name) if isinstance(name, str) else name for key, name in names.items()
    }
    for statement in statements:
        connection.execute(sql.SQL(statement).format(**parts))
