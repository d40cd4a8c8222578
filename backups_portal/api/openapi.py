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
