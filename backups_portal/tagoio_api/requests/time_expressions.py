"""Parse absolute times, and times relative to now."""

import re
from datetime import UTC, datetime, timedelta

from backups_portal.projectdb.records import RecordError, parse_moment
from backups_portal.tagoio_api.envelope import ApiError

NEVER = "never"
RELATIVE = re.compile(r"(\d{1,6})\s*([A-Za-z]+)")
# Eight digits are a date.
MILLISECONDS = re.compile(r"-?[0-9]{9,16}")
SECONDS = {
    **dict.fromkeys(("s", "sec", "second"), 1),
    **dict.fromkeys(("min", "minute"), 60),
    **dict.fromkeys(("h", "hour"), 3600),
    **dict.fromkeys(("d", "day"), 86_400),
    **dict.fromkeys(("w", "week"), 7 * 86_400),
}
MONTHS = {
    **dict.fromkeys(("M", "month"), 1),
    "quarter": 3,
    **dict.fromkeys(("y", "year"), 12),
}


def parse_since(text: str, name: str) -> datetime:
    """Parse a query's time: a date, milliseconds, or `1 day` for a day ago.

    Raises:
        ApiError: it is none of these.
    """
    return _parse(text, name, -1)


def parse_expiry(value: object) -> datetime | None:
    """Parse a token's expiry: like a query's time, but `3 month` is from now.

    Returns:
        None for never.

    Raises:
        ApiError: it is no time.
    """
    if value in (None, "", NEVER):
        return None
    return _parse(str(value), "expire_time", 1)


def _parse(text: str, name: str, sign: int) -> datetime:
    try:
        if match := RELATIVE.fullmatch(text.strip()):
            return _shifted(datetime.now(UTC), match, sign)
        if MILLISECONDS.fullmatch(text.strip()):
            return parse_moment(int(text))
        return parse_moment(_clean(text))
    except (RecordError, ValueError, OverflowError) as error:
        raise ApiError(f"Invalid {name.replace('_', ' ')}") from error


def _clean(text: str) -> str:
    # The Python SDK writes the UTC offset with a `+`, which query strings decode to a space.
    text = text.strip()
    return re.sub(r"(\d) (\d\d:?\d\d)$", r"\1+\2", text) if text.count(":") > 2 else text


def _shifted(now: datetime, match: re.Match[str], sign: int) -> datetime:
    count, unit = int(match[1]) * sign, match[2]
    # `M` means months and `m` is ambiguous, so only units longer than a letter ignore case.
    unit = unit if len(unit) == 1 else unit.lower().rstrip("s") or unit
    if unit in SECONDS:
        return now + timedelta(seconds=count * SECONDS[unit])
    if unit not in MONTHS:
        raise ValueError(unit)
    return _months_later(now, count * MONTHS[unit])


def _months_later(now: datetime, count: int) -> datetime:
    year, month = divmod(now.year * 12 + now.month - 1 + count, 12)
    for day in (now.day, 30, 29, 28):
        try:
            return now.replace(year=year, month=month + 1, day=day)
        except ValueError:
            if day == 28 or not 1 <= year <= 9999:
                raise
    raise AssertionError("every month has a 28th")
