"""How amounts, sizes, lengths of time and moments read on a page."""

from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

SIZE_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")
KIBI = 1024
NO_BREAK = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"


def data_size(size: int) -> str:
    """A number of bytes with a binary unit: 1 KiB is 1024 bytes."""
    if size < KIBI:
        return f"{size:,}{NO_BREAK}{'byte' if size == 1 else 'bytes'}"
    value = size / KIBI
    place = 0
    while round(value, 1) >= KIBI and place < len(SIZE_UNITS) - 1:
        value /= KIBI
        place += 1
    return f"{value:,.1f}{NO_BREAK}{SIZE_UNITS[place]}"


def duration(length: timedelta) -> str:
    """A length of time in its two largest units; tenths of a second below a minute."""
    seconds = length.total_seconds()
    if round(seconds, 1) < 60:
        return f"{seconds:.1f}{NO_BREAK}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next(place for place, (count, _) in enumerate(parts) if count)
    shown = [f"{count}{NO_BREAK}{unit}" for count, unit in parts[first : first + 2] if count]
    return " ".join(shown)


def roughly(length: timedelta) -> str:
    """A length of time that is an estimate: no more digits than it deserves."""
    seconds = max(1, round(length.total_seconds()))
    step = 1 if seconds < 10 else 5 if seconds < 60 else 30 if seconds < 600 else 60
    rounded = timedelta(seconds=round(seconds / step) * step)
    return duration(rounded) if seconds >= 60 else f"{rounded.seconds}{NO_BREAK}s"


def money(amount: Decimal, currency: str) -> str:
    """An amount in cents with its currency: 1,234.50 USD."""
    return f"{amount:,.2f}{NO_BREAK}{currency}"


def price(amount: Decimal, currency: str) -> str:
    """A unit price with every digit that counts, and two at least: 0.068 USD."""
    digits = max(2, -int(amount.normalize().as_tuple().exponent))
    return f"{amount:,.{digits}f}{NO_BREAK}{currency}"


def zone_label(moment: datetime) -> str:
    """The abbreviation of the moment's zone, or its distance from UTC where it has none."""
    name = moment.tzname() or ""
    if name[:1] in "+-":
        return "UTC" + name.replace("-", MINUS)
    return name


def day_and_time(moment: datetime) -> str:
    """23 Nov 2026, 03:05."""
    return f"{moment.day} {moment:%b %Y, %H:%M}"


def full(moment: datetime) -> str:
    """23 Nov 2026, 03:05 CET."""
    return f"{day_and_time(moment)} {zone_label(moment)}"


def local(moment: datetime, zone: str | None) -> datetime:
    """The moment on the clocks of a time zone (IANA name); UTC without one."""
    return moment.astimezone(ZoneInfo(zone or "UTC"))
