"""Whether a row of an entity is as the entity's fields want it."""

import uuid
from typing import Any

from backups_portal.api.envelope import ApiError
from backups_portal.projectdb.records import RecordError, parse_moment

# What the portal keeps itself.
OWN = frozenset({"id", "created_at", "updated_at"})


def check_row(schema: dict[str, Any], row: dict[str, Any], *, complete: bool) -> dict[str, Any]:
    """The fields of a row that the entity has.

    Args:
        complete: Whether required fields must be there.

    Raises:
        ApiError: a field is unknown, missing or of another type.
    """
    unknown = sorted(row.keys() - schema.keys() - OWN)
    if unknown:
        raise ApiError(f"There is no field {unknown[0]}")
    values = {name: value for name, value in row.items() if name not in OWN}
    for name, about in schema.items():
        value = values.get(name)
        if value is None:
            if about["required"] and (complete or name in values):
                raise ApiError(f"{name} is required")
        elif not _fits(about["type"], value):
            raise ApiError(f"{name} must be of the type {about['type']}")
    return values


def _fits(kind: str, value: Any) -> bool:
    if kind == "json":
        return True
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "timestamp":
        return _is_moment(value)
    return isinstance(value, str) and (kind != "uuid" or _is_uuid(value))


def _is_moment(value: Any) -> bool:
    try:
        parse_moment(value)
    except RecordError:
        return False
    return True


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
