"""What the description of the API says beside what routes declare."""

from typing import Any


def _parameter(name: str, about: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": about, "schema": schema}


def parameters(*them: dict[str, Any]) -> dict[str, Any]:
    """Query parameters that a route reads by itself."""
    return {"parameters": list(them)}


PAGE = _parameter("page", "From 1", type="integer", minimum=0)
AMOUNT = _parameter("amount", "Objects per page", type="integer", minimum=0, maximum=10_000)
ORDER = _parameter("orderBy", "A field and asc or desc: `name,asc`", type="string")
FIELD_NAMES = {
    **_parameter("fields", "Names of fields", type="array", items={"type": "string"}),
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
    _parameter("start_date", "From this moment: ISO 8601, or `1 day` for a day ago", type="string"),
    _parameter("end_date", "To this moment, included", type="string"),
    _parameter("qty", "Records, of each variable if several are named and nothing is skipped",
               type="integer", minimum=0, maximum=10_000),
    _parameter("skip", "Records of earlier pages", type="integer", minimum=0),
    _parameter("ordination", "By time", type="string", enum=["descending", "ascending"]),
    _parameter("query", "Something other than a page of records", type="string", enum=[
        *("last_item", "last_value", "last_location", "last_insert"),
        *("first_item", "first_value", "first_location", "first_insert"),
        *("count", "min", "max", "avg", "sum", "aggregate", "conditional"),
    ]),
    _parameter("function", "avg, sum, min, max for aggregates; gt, gte, lt, lte, eq, ne for"
               " conditional", type="string"),
    _parameter("interval", "Of aggregates", type="string",
               enum=["minute", "hour", "day", "month", "quarter", "year"]),
    _parameter("value", "With which conditional compares", type="string"),
)  # fmt: skip
_RECORD = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "Of the record to edit"},
        "variable": {"type": "string", "minLength": 1, "maxLength": 100},
        "value": {"type": ["string", "number", "boolean", "null"]},
        "unit": {"type": ["string", "null"], "maxLength": 25},
        "group": {"type": ["string", "null"], "maxLength": 100},
        "time": {"type": ["string", "integer", "null"]},
        "location": {"type": ["object", "null"]},
        "metadata": {"type": ["object", "null"]},
    },
}
RECORDS = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"anyOf": [_RECORD, {"type": "array", "items": _RECORD}]}
            }
        },
    }
}
SENT = parameters(
    _parameter("sent_status", "Only those that the device has read, or has not", type="boolean")
)
