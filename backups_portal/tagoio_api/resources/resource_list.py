"""List resources: paged, filtered, ordered, with the requested fields."""

from collections.abc import Sequence

from psycopg import Connection, sql
from psycopg.rows import dict_row

from backups_portal.tagoio_api.envelope import ApiError
from backups_portal.tagoio_api.requests import query_strings
from backups_portal.tagoio_api.requests.time_expressions import parse_since
from backups_portal.tagoio_api.resources.resource_kinds import FLAG, ID, MOMENT, TAGS, Kind, Row

ALWAYS = ("id", "tags")

Condition = tuple[sql.Composable, Sequence[object]]


def list_resources(
    connection: Connection, kind: Kind, query: query_strings.Parsed, *also: Condition
) -> list[Row]:
    """List the page that the query string asks for; [] after the last one.

    Args:
        also: Additional conditions, with their values.

    Raises:
        ApiError: a parameter cannot be read.
    """
    amount, skipped = query_strings.page(query)
    conditions = [*also, *_conditions(kind, query.get("filter"))]
    fields = asked_fields(kind, query)
    statement = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT %s OFFSET %s").format(
        _columns_of(kind, fields),
        sql.Identifier(kind.table),
        sql.SQL(" AND ").join([sql.SQL("true"), *(text for text, _ in conditions)]),
        _order(kind, query_strings.text(query.get("orderBy"))),
    )
    values = [value for _, some in conditions for value in some]
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement, [*values, amount, skipped]).fetchall()
    return [only(kind.show(row), fields) for row in rows]


def asked_fields(kind: Kind, query: query_strings.Parsed) -> list[str]:
    """List the fields to show: id, tags, and the requested or default ones."""
    return [*ALWAYS, *(query_strings.texts(query.get("fields")) or kind.listed)]


def only(shown: Row, fields: list[str]) -> Row:
    """Return the requested fields that an object has."""
    return {name: shown[name] for name in dict.fromkeys(fields) if name in shown}


def with_public(kind: Kind, query: query_strings.Parsed, rows: list[Row]) -> list[Row]:
    """Put a kind's public object before the first page, unless filtered out.

    Any filter except `filter[id]` with its id excludes it, including `filter[public]`.
    """
    public, asked = kind.public, query.get("filter")
    if public is None or query_strings.text(query.get("page")) not in (None, "0", "1"):
        return rows
    named = query_strings.texts(asked.get("id")) if isinstance(asked, dict) else []
    if asked and public["id"] not in named:
        return rows
    return [only(public, asked_fields(kind, query)), *rows]


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
    # The id breaks ties, so that pages neither overlap nor skip rows.
    form = "{} DESC{}, id DESC" if descending else "{} ASC{}, id ASC"
    # Other columns keep the default order of nulls, so that an index can serve it.
    nulls = sql.SQL(" NULLS LAST" if column.startswith("last_") else "")
    return sql.SQL(form).format(sql.Identifier(column), nulls)


def _conditions(kind: Kind, asked: object) -> list[Condition]:
    kinds = kind.filter_kinds()
    return [
        condition
        for key, value in (asked.items() if isinstance(asked, dict) else ())
        if key in kinds
        for condition in _compare(sql.Identifier(kind.column(key)), key, kinds[key], value)
    ]


def _compare(column: sql.Identifier, key: str, how: str, value: object) -> list[Condition]:
    if how == TAGS:
        return [_has_tag(column, entry) for entry in query_strings.objects(value)]
    if how == ID:
        return [(sql.SQL("{} = ANY(%s)").format(column), [query_strings.texts(value)])]
    if how == FLAG:
        return [(sql.SQL("{} = %s").format(column), [query_strings.flag(value, key)])]
    text = query_strings.text(value)
    if text is None:
        return []
    if how == MOMENT:
        return [(sql.SQL("{} >= %s").format(column), [parse_since(text, key)])]
    return [(sql.SQL("{} ILIKE %s").format(column), [pattern(text)])]


def _has_tag(column: sql.Identifier, entry: query_strings.Parsed) -> Condition:
    parts = {
        name: text for name in ("key", "value") if (text := query_strings.text(entry.get(name)))
    }
    inner = [sql.SQL("true"), *(sql.SQL("tag->>{} ILIKE %s").format(name) for name in parts)]
    statement = sql.SQL("EXISTS (SELECT FROM {} AS tag WHERE {})")
    found = statement.format(elements(column), sql.SQL(" AND ").join(inner))
    return found if parts else sql.SQL("true"), [pattern(text) for text in parts.values()]


def elements(column: sql.Identifier) -> sql.Composed:
    """Expand a column's JSON list into rows; no rows if it is not a list."""
    form = "jsonb_array_elements(CASE jsonb_typeof({0}) WHEN 'array' THEN {0} ELSE '[]' END)"
    return sql.SQL(form).format(column)


def pattern(text: str) -> str:
    """Turn a text with `*` as the wildcard into an SQL LIKE pattern."""
    if "\0" in text:
        raise ApiError("A filter holds a NUL character")
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")
