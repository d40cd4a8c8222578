"""Parse query strings in every form that clients use.

| meaning         | JavaScript, CLI                    | Python                | also          |
|-----------------|------------------------------------|-----------------------|---------------|
| list            | fields[0]=id&fields[1]=name        | fields=id&fields=name | fields[]= a,b  |
| object          | filter[name]=x                     | the same              |               |
| list of objects | filter[tags][1][key]=k, with gaps  | the same              |               |
| boolean         | true, false                        | True, False           | 1, 0          |
"""

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl

from django.http import HttpRequest

from backups_portal.tagoio_api.envelope import ApiError

# Values are a text, a list of texts, or an object by bracketed keys; the readers below narrow them.
Parsed = dict[str, object]
PART = re.compile(r"\[([^\[\]]*)\]")
MAX_DEPTH = 4
DEFAULT_AMOUNT = 20
MAX_AMOUNT = 10_000
MAX_PAGE = 10**9
TRUE, FALSE = frozenset({"true", "1"}), frozenset({"false", "0"})


def query_of(request: HttpRequest) -> Parsed:
    """Parse the query string of a request."""
    return parse_query(request.META["QUERY_STRING"])


def parse_query(text: str) -> Parsed:
    """Parse a query string into values by key.

    A value is a text, a list of texts if its key is repeated, or an object by bracketed keys. Keys
    without a value are left out.

    Raises:
        ApiError: it is not UTF-8.
    """
    parsed: Parsed = {}
    for key, value in _pairs(text):
        if value:
            _put(parsed, [key.partition("[")[0], *PART.findall(key)][:MAX_DEPTH], value)
    return parsed


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, errors="strict")
    except ValueError as error:
        raise ApiError("The query string cannot be read") from error


def _put(parsed: Parsed, path: list[str], value: str) -> None:
    *parents, last = path
    for part in parents:
        inner = parsed.get(part)
        if not isinstance(inner, dict):
            inner = parsed[part] = {}
        parsed = inner
    known = parsed.get(last)
    if isinstance(known, list):
        known.append(value)
    else:
        parsed[last] = value if known is None or isinstance(known, dict) else [known, value]


def texts(value: object) -> list[str]:
    """Read a list from repeated keys, numbered keys or comma-separated text."""
    return [part for text in _leaves(value) for part in text.split(",") if part]


def names(value: object) -> list[str]:
    """Read a list whose values may themselves contain commas."""
    return list(_leaves(value))


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        # In numeric order; clients may leave gaps.
        for key in sorted(value, key=lambda key: (not key.isdecimal(), len(key), key)):
            yield from _leaves(value[key])
    elif isinstance(value, list):
        yield from value


def text(value: object) -> str | None:
    """Read a single value; the first if there are several."""
    return next(_leaves(value), None)


def flag(value: object, name: str) -> bool | None:
    """Read a boolean parameter; None if it is missing.

    Raises:
        ApiError: it is neither true nor false.
    """
    word = text(value)
    if word is None:
        return None
    if word.lower() in TRUE:
        return True
    if word.lower() in FALSE:
        return False
    raise ApiError(f"{name} must be true or false")


def number(value: object, name: str, *, default: int, most: int) -> int:
    """Read a whole number of at least 0.

    Raises:
        ApiError: it is not one, or is above `most`.
    """
    word = text(value)
    if word is None:
        return default
    if not (word.isascii() and word.isdecimal()):
        raise ApiError(f"{name} must be a whole number from 0")
    if len(word) > 15 or int(word) > most:
        raise ApiError(f"{name} must be at most {most}")
    return int(word)


def page(query: Parsed, default_amount: int = DEFAULT_AMOUNT) -> tuple[int, int]:
    """Read the page size and the number of objects to skip.

    Raises:
        ApiError: `amount` or `page` is not a valid number.
    """
    amount = number(query.get("amount"), "amount", default=default_amount, most=MAX_AMOUNT)
    place = max(1, number(query.get("page"), "page", default=1, most=MAX_PAGE))
    return amount, (place - 1) * amount


def objects(value: object) -> list[Parsed]:
    """Read a list of objects with any index keys; a single one may lack it."""
    if not isinstance(value, dict):
        return []
    entries = [entry for entry in value.values() if isinstance(entry, dict)]
    return entries or [value]
