"""Messages about invalid requests: sentences for people in place of pydantic's.

Error types and their context: https://docs.pydantic.dev/latest/errors/validation_errors/.
"""

import re
from collections.abc import Mapping
from typing import Any

# For all other types of error; a test covers every type that a body can cause.
OTHERWISE = "is not valid"
# By error type; the names in braces come from the error's context.
SENTENCES = {
    "missing": "is missing",
    "extra_forbidden": "is not known",
    "string_type": "must be text",
    "string_too_short": "must have at least {min_length} {characters}",
    "string_too_long": "must have at most {max_length} {characters}",
    "string_unicode": "must be UTF-8 text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entries",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_pattern_mismatch": "must be {pattern}",
    "timezone_aware": "must say its time zone, such as 2026-01-31T08:00:00Z",
    **dict.fromkeys(
        (
            *("datetime_type", "datetime_parsing", "datetime_from_date_parsing"),
            "datetime_object_invalid",
        ),
        "must be a time, such as 2026-01-31T08:00:00Z",
    ),
    **dict.fromkeys(
        ("date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"),
        "must be a day, such as 2026-01-31",
    ),
    **dict.fromkeys(("uuid_type", "uuid_parsing"), "must be a UUID"),
}
# Descriptions of patterns.
PATTERNS = {"^[0-9a-f]{24}$": "24 hex digits"}

Path = tuple[int | str, ...]


def request_sentence(error: Mapping[str, Any]) -> str:
    """Explain what is wrong with a request.

    In django-ninja's errors the path starts with the part of the request.
    """
    part, *_ = place = error["loc"]
    if part == "header":
        return sentence(error, (place[1].replace("-", "_"),))
    return sentence(error, place[2:] or (() if part == "body" else place[1:]))


def sentence(error: Mapping[str, Any], path: Path) -> str:
    """Explain what is wrong, such as "Network must be 24 hex digits".

    Args:
        error: A pydantic error: its type, message and context.
        path: The place in the body; empty for the whole body.
    """
    kind, context = error["type"], dict(error.get("ctx") or {})
    if kind in ("value_error", "assertion_error"):
        # Our own message, after pydantic's prefix.
        return str(error["msg"]).partition(", ")[2]
    context["pattern"] = PATTERNS.get(str(context.get("pattern")), "of another form")
    length = context.get("min_length", context.get("max_length"))
    context["characters"] = "character" if length == 1 else "characters"
    said = SENTENCES.get(kind, OTHERWISE).format_map(context)
    return f"{name_of(path)} {said.replace(chr(39), '')}"


def name_of(path: Path) -> str:
    """Name a place in a body: ("tags", 0, "key") is "Key of entry 1 of tags"."""
    # Skip the union branches that pydantic adds to the path: they are not in the body.
    places = [part for part in path if isinstance(part, int) or re.fullmatch(r"\w+", part)]
    words = [
        f"entry {part + 1}" if isinstance(part, int) else part.replace("_", " ")
        for part in reversed(places)
    ]
    name = " of ".join(words) or "the body"
    return name[0].upper() + name[1:]
