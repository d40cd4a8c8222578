"""OpenAPI descriptions of what routes parse themselves."""

from backups_portal.lib.json_types import JsonObject


def _parameter(name: str, about: str, **schema: object) -> JsonObject:
    return {"name": name, "in": "query", "description": about, "schema": schema}


def parameters(*them: JsonObject) -> JsonObject:
    """Declare query parameters that a route parses itself."""
    return {"parameters": list(them)}


PAGE = _parameter("page", "Page number, from 1", type="integer", minimum=0)
AMOUNT = _parameter("amount", "Objects per page", type="integer", minimum=0, maximum=10_000)
ORDER = _parameter("orderBy", "A field and asc or desc: `name,asc`", type="string")
FIELD_NAMES = {
    **_parameter("fields", "Fields to return", type="array", items={"type": "string"}),
    "style": "form",
    "explode": True,
}
FILTER = {
    **_parameter(
        "filter",
        "What objects must match; `*` stands for anything, tags are [{key, value}]",
        type="object",
        additionalProperties={"type": "string"},
    ),
    "style": "deepObject",
    "explode": True,
}

LIST = parameters(PAGE, AMOUNT, FIELD_NAMES, FILTER, ORDER)
FIELDS = parameters(FIELD_NAMES)

_TEXT_LIST = {"type": "array", "items": {"type": "string"}}
DATA_QUERY = parameters(
    _parameter("variables", "Exact names", **_TEXT_LIST),
    _parameter("groups", "Groups", **_TEXT_LIST),
    _parameter("ids", "Ids of records", **_TEXT_LIST),
    _parameter("values", "Values, as text", **_TEXT_LIST),
    _parameter("start_date", "From this time: ISO 8601, milliseconds since 1970, or `1 day` for a"
               " day ago", type="string"),
    _parameter("end_date", "Until this time, inclusive", type="string"),
    _parameter("qty", "Number of records; per variable if several are named and none skipped, up"
               " to 250,000 in all", type="integer", minimum=0, maximum=10_000),
    _parameter("skip", "Number of records to skip", type="integer", minimum=0),
    _parameter("ordination", "Order by time", type="string", enum=["descending", "ascending"]),
    _parameter("query", "A query other than a page of records", type="string", enum=[
        *("last_item", "last_value", "last_location", "last_insert"),
        *("first_item", "first_value", "first_location", "first_insert"),
        *("count", "min", "max", "avg", "sum", "aggregate", "conditional"),
    ]),
    _parameter("function", "avg, sum, min, max for aggregates; gt, gte, lt, lte, eq, ne for"
               " conditional", type="string"),
    _parameter("interval", "Interval of aggregates, up to 10,000 in all", type="string",
               enum=["minute", "hour", "day", "month", "quarter", "year"]),
    _parameter("value", "Value that conditional compares with", type="string"),
)  # fmt: skip
_RECORD = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "Id of the record to edit"},
        "variable": {"type": "string", "minLength": 1, "maxLength": 100},
        "value": {"type": ["string", "number", "boolean", "null"]},
        "unit": {"type": ["string", "null"], "maxLength": 25},
        "group": {"type": ["string", "null"], "maxLength": 100},
        "time": {"type": ["string", "integer", "null"]},
        "location": {"type": ["object", "null"]},
        "metadata": {"type": ["object", "null"]},
    },
}


def _records(record: JsonObject) -> JsonObject:
    schema = {"anyOf": [_RECORD, {"type": "array", "items": _RECORD}]}
    content = {"application/json": {"schema": schema, "example": [record]}}
    return {"requestBody": {"required": True, "content": content}}


RECORDS = _records({"variable": "temperature", "value": 21.5, "unit": "\N{DEGREE SIGN}C"})
EDITED_RECORDS = _records({"id": "RECORD_ID", "value": 21.5})
SENT = parameters(
    _parameter(
        "sent_status", "Only parameters that the device has read, or has not read", type="boolean"
    )
)
