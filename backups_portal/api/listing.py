"""Lists of resources: page by page, filtered, ordered, with the fields that were asked for."""

from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from backups_portal.api import queries
from backups_portal.api.envelope import ApiError
from backups_portal.api.kinds import FLAG, ID, MOMENT, TAGS, Kind, Row
from backups_portal.api.moments import parse_since
from backups_portal.api.pools import Connection

DEFAULT_AMOUNT = 20
MAX_AMOUNT = 10_000
MAX_PAGE = 10**9
ALWAYS = ("id", "tags")

Condition = tuple[sql.Composable, list[Any]]


def list_resources(
    connection: Connection, kind: Kind, query: queries.Parsed, *also: Condition
) -> list[Row]:
    """One page, as the query string asks for it; [] behind the last one.

    Args:
        also: Further conditions, with their values.

    Raises:
        ApiError: a parameter cannot be read.
    """
    amount = queries.number(query.get("amount"), "amount", default=DEFAULT_AMOUNT, most=MAX_AMOUNT)
    page = max(1, queries.number(query.get("page"), "page", default=1, most=MAX_PAGE))
    conditions = [*also, *_conditions(kind, query.get("filter"))]
    fields = asked_fields(kind, query)
    statement = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT %s OFFSET %s").format(
        _columns_of(kind, fields),
        sql.Identifier(kind.table),
        sql.SQL(" AND ").join([sql.SQL("true"), *(text for text, _ in conditions)]),
        _order(kind, queries.text(query.get("orderBy"))),
    )
    values = [value for _, some in conditions for value in some]
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement, [*values, amount, (page - 1) * amount]).fetchall()
    return [only(kind.show(row), fields) for row in rows]


def asked_fields(kind: Kind, query: queries.Parsed) -> list[str]:
    """The fields of a list: those that were named, or the usual ones; always id and tags."""
    return [*ALWAYS, *(queries.texts(query.get("fields")) or kind.listed)]


def only(shown: Row, fields: list[str]) -> Row:
    """Of an object, the fields that were asked for and that it has."""
    return {name: shown[name] for name in dict.fromkeys(fields) if name in shown}


def _columns_of(kind: Kind, fields: list[str]) -> sql.Composable:
    wanted = {kind.column(name) for name in fields}
    columns = [name for name in kind.columns if name in wanted]
    if "settings" in kind.columns and not wanted <= set(kind.columns):
        columns.append("settings")
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _order(kind: Kind, asked: str | None) -> sql.Composable:
    name, _, direction = (asked or "").partition(",")
    column = kind.column(name.strip())
    if column not in kind.columns or column == "settings":
        column, direction = kind.order, direction if asked else "asc"
    descending = direction.strip().lower() == "desc"
    # The id breaks ties, so that pages neither overlap nor leave gaps.
    form = "{} DESC{}, id DESC" if descending else "{} ASC{}, id ASC"
    # Elsewhere nulls stay where an index has them.
    nulls = sql.SQL(" NULLS LAST" if column.startswith("last_") else "")
    return sql.SQL(form).format(sql.Identifier(column), nulls)


def _conditions(kind: Kind, asked: Any) -> list[Condition]:
    kinds = kind.filter_kinds()
    return [
        condition
        for key, value in (asked.items() if isinstance(asked, dict) else ())
        if key in kinds
        for condition in _compare(sql.Identifier(kind.column(key)), key, kinds[key], value)
    ]


def _compare(column: sql.Identifier, key: str, how: str, value: Any) -> list[Condition]:
    if how == TAGS:
        return [_has_tag(column, entry) for entry in queries.objects(value)]
    if how == ID:
        return [(sql.SQL("{} = ANY(%s)").format(column), [queries.texts(value)])]
    if how == FLAG:
        return [(sql.SQL("{} = %s").format(column), [queries.flag(value, key)])]
    text = queries.text(value)
    if text is None:
        return []
    if how == MOMENT:
        return [(sql.SQL("{} >= %s").format(column), [parse_since(text, key)])]
    return [(sql.SQL("{} ILIKE %s").format(column), [pattern(text)])]


def _has_tag(column: sql.Identifier, entry: queries.Parsed) -> Condition:
    parts = {name: text for name in ("key", "value") if (text := queries.text(entry.get(name)))}
    inner = [sql.SQL("true"), *(sql.SQL("tag->>{} ILIKE %s").format(name) for name in parts)]
    statement = sql.SQL("EXISTS (SELECT FROM jsonb_array_elements({}) AS tag WHERE {})")
    found = statement.format(column, sql.SQL(" AND ").join(inner))
    return found if parts else sql.SQL("true"), [pattern(text) for text in parts.values()]


def pattern(text: str) -> str:
    """A text with `*` for anything as SQL's LIKE has it."""
    if "\0" in text:
        raise ApiError("A filter holds a NUL character")
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")
