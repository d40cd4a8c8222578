"""Query strings, in each of the forms that clients write lists and objects.

| meaning         | JavaScript, CLI                    | Python                | also          |
|-----------------|------------------------------------|-----------------------|---------------|
| list            | fields[0]=id&fields[1]=name        | fields=id&fields=name | fields[]= a,b  |
| object          | filter[name]=x                     | the same              |               |
| list of objects | filter[tags][1][key]=k, with gaps  | the same              |               |
| boolean         | true, false                        | True, False           | 1, 0          |
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

from backups_portal.api.envelope import ApiError

Parsed = dict[str, Any]
PART = re.compile(r"\[([^\[\]]*)\]")
DEEPEST = 4
TRUE, FALSE = frozenset({"true", "1"}), frozenset({"false", "0"})


def parse_query(text: str) -> Parsed:
    """The values by key: a text, or a list of texts where a key comes more than once, or an
    object by the parts in brackets. Keys without a value are left out.

    Raises:
        ApiError: it is not UTF-8.
    """
    parsed: Parsed = {}
    for key, value in _pairs(text):
        if value:
            _put(parsed, [key.partition("[")[0], *PART.findall(key)][:DEEPEST], value)
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


def texts(value: Any) -> list[str]:
    """A parameter that may be a list, as one: of repeated keys, of numbered keys, or of commas."""
    return [part for text in _leaves(value) for part in text.split(",") if part]


def names(value: Any) -> list[str]:
    """The same for values that may hold commas themselves."""
    return list(_leaves(value))


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        # By their numbers; clients may leave gaps.
        for key in sorted(value, key=lambda key: (not key.isdecimal(), len(key), key)):
            yield from _leaves(value[key])
    elif isinstance(value, list):
        yield from value


def text(value: Any) -> str | None:
    """A parameter that has one value; the first where there are several."""
    return next(_leaves(value), None)


def flag(value: Any, name: str) -> bool | None:
    """A boolean parameter; None where it is missing.

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


def number(value: Any, name: str, *, default: int, most: int) -> int:
    """A whole number from 0.

    Raises:
        ApiError: it is none, or is above `most`.
    """
    word = text(value)
    if word is None:
        return default
    if not (word.isascii() and word.isdecimal()):
        raise ApiError(f"{name} must be a whole number from 0")
    if len(word) > 15 or int(word) > most:
        raise ApiError(f"{name} must be at most {most}")
    return int(word)


def objects(value: Any) -> list[Parsed]:
    """A list of objects, whatever numbers its keys have."""
    if not isinstance(value, dict):
        return []
    return [entry for entry in value.values() if isinstance(entry, dict)]
