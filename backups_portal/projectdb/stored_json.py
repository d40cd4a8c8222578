"""Read any JSON of a project's database so that answers can hold it.

SQL can store what the API would reject: numbers beyond 64 bits or double precision, a thousand
levels of lists. They are returned exactly as stored.
"""

import json
import re
from decimal import Decimal
from typing import Any

import orjson
from psycopg import Connection
from psycopg.types.json import set_json_dumps, set_json_loads

from backups_portal.lib.json_types import JsonObject

# The most levels of lists and objects in a body; answers wrap a few more around it, and orjson
# writes 254 in all.
DEEPEST = 200
_ROOM = 254 - DEEPEST
# This many digits may exceed 64 bits or double precision; jsonb writes no exponents.
_LONG_NUMBER = re.compile(rb"[\d.]{17}")
# Fewer digits fit into 64 bits, and no finite double has more than `_MAX_DIGITS`.
_LONG_INTEGER = re.compile(rb"(?:^|[-:\[,\s])\d{19}")
_LONG_DIGITS = b"0" * 19
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_MAX_DIGITS = 309
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]', re.DOTALL)


def is_too_deep(value: object) -> bool:
    """Tell whether a parsed body has more levels than DEEPEST."""
    for _ in range(_ROOM):
        value = [value]
    try:
        orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:
        return True
    return False


def may_be_deep(text: bytes) -> bool:
    """Tell whether a JSON text has more opening brackets than DEEPEST."""
    return text.count(b"[") + text.count(b"{") > DEEPEST


def is_written_as(value: int, double: float) -> bool:
    """Tell whether a client that means a double may have sent this integer."""
    # JavaScript writes large doubles as integers: the shortest digits, then zeros.
    return value in (int(double), Decimal(repr(double)))


def rounded_integer(text: bytes) -> str:
    """Find an integer in valid JSON that orjson would round; "" if none."""
    rounded: list[str] = []

    def look(digits: str) -> None:
        if not _is_kept(digits):
            rounded.append(digits)

    # The expression alone would take a tenth of the time of sending 1,000 records.
    if _LONG_DIGITS in text.translate(_DIGITS_TO_ZERO) and _LONG_INTEGER.search(text):
        json.loads(text, parse_int=look)
    return rounded[0] if rounded else ""


def _is_kept(digits: str) -> bool:
    """Tell whether 64 bits or a double can hold an integer exactly."""
    if len(digits) > _MAX_DIGITS:
        return False
    value = int(digits)
    return -(2**63) <= value < 2**64 or is_written_as(value, float(value))


def load_json(text: str | bytes | bytearray | memoryview) -> Any:
    """Parse a column's JSON; what Python cannot represent stays text."""
    text = text.encode() if isinstance(text, str) else bytes(text)
    try:
        value = json.loads(text, **_AS_TEXT) if _LONG_NUMBER.search(text) else orjson.loads(text)
    except (ValueError, RecursionError):
        return _members(text.decode())
    return _members(text.decode()) if may_be_deep(text) and is_too_deep(value) else value


def dump_json(value: object) -> bytes:
    """Write a value that `load_json` returned as JSON."""
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)


def _number(text: str) -> Any:
    """Parse a number; keep its text if Python would change its value."""
    number = float(text) if "." in text else int(text) if len(text) < 19 else None
    return number if str(number) == text else orjson.Fragment(text)


_AS_TEXT: Any = {"parse_int": _number, "parse_float": _number}


def _members(text: str) -> Any:
    """Parse an object, keeping its values as JSON text; keep the rest as text."""
    if not text.startswith("{"):
        return orjson.Fragment(text)
    members: JsonObject = {}
    depth, key, start = 0, "", 0
    for token in _TOKENS.finditer(text):
        mark = token[0]
        if mark in "]}":
            depth -= 1
        if mark == ":" and depth == 1:
            key, start = json.loads(text[start : token.start()]), token.end()
        elif (mark == "," and depth == 1) or (mark == "}" and depth == 0):
            if value := text[start : token.start()].strip():
                members[key] = orjson.Fragment(value)
            start = token.end()
        if mark in "[{":
            depth += 1
            start = token.end() if depth == 1 else start
    return members


def as_object(value: object) -> dict[str, object]:
    """Return the object of a column; an empty one if it holds something else."""
    return dict(value) if isinstance(value, dict) else {}


def read_safely(connection: Connection) -> None:
    """Let this connection read all JSON that the database may hold."""
    set_json_loads(load_json, connection)
    set_json_dumps(dump_json, connection)
