"""The formats of amounts, sizes, durations and times on pages."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from backups_portal.lib.currencies import digits_of
from backups_portal.lib.timezones import zone_of

SIZE_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")
KIBI = 1024
NO_BREAK = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def data_size(size: int) -> str:
    """Write a number of bytes with a binary unit: 1 KiB is 1024 bytes."""
    if size < KIBI:
        return f"{size:,}{NO_BREAK}{'byte' if size == 1 else 'bytes'}"
    value = size / KIBI
    place = 0
    while round(value, 1) >= KIBI and place < len(SIZE_UNITS) - 1:
        value /= KIBI
        place += 1
    return f"{value:,.1f}{NO_BREAK}{SIZE_UNITS[place]}"


def duration(length: timedelta) -> str:
    """Write a duration in its two largest units, or in tenths of a second."""
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
    """Write an estimated duration without false precision."""
    seconds = max(1, round(length.total_seconds()))
    step = 1 if seconds < 10 else 5 if seconds < 60 else 30 if seconds < 600 else 60
    rounded = timedelta(seconds=round(seconds / step) * step)
    return duration(rounded) if seconds >= 60 else f"{rounded.seconds}{NO_BREAK}s"


def count(number: int, noun: str) -> str:
    """Write a number of things: 1 hour, 1,200 hours."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def money(amount: Decimal, currency: str) -> str:
    """Write a rounded amount with its currency: 1,234.50 USD."""
    return f"{amount:,.{digits_of(currency)}f}{NO_BREAK}{currency}"


def price(amount: Decimal, currency: str) -> str:
    """Write a unit price with all significant digits: 0.068 USD.

    It has at least the currency's decimal places.
    """
    digits = max(digits_of(currency), -int(amount.normalize().as_tuple().exponent))
    return f"{amount:,.{digits}f}{NO_BREAK}{currency}"


def zone_label(moment: datetime) -> str:
    """Name the zone of a moment, by its UTC offset if it has no abbreviation."""
    name = moment.tzname() or ""
    if name[:1] in "+-":
        return "UTC" + name.replace("-", MINUS)
    return name


def day(on: date, *, this_year: int | None = None) -> str:
    """Write a day as 23 Nov 2026, without the year if it is `this_year`."""
    # strftime takes ten times as long, and a page has hundreds of moments.
    short = f"{on.day} {MONTHS[on.month - 1]}"
    return short if on.year == this_year else f"{short} {on.year}"


def day_and_time(moment: datetime, *, this_year: int | None = None) -> str:
    """Write a moment as 23 Nov 2026, 03:05.

    The year is left out if it is `this_year`.
    """
    return f"{day(moment, this_year=this_year)}, {moment.hour:02}:{moment.minute:02}"


def full(moment: datetime) -> str:
    """Write a moment as 23 Nov 2026, 03:05:10 CET."""
    return f"{day_and_time(moment)}:{moment.second:02} {zone_label(moment)}"


def local(moment: datetime, zone: str | None) -> datetime:
    """Convert a moment to a time zone (IANA name), or to UTC without one."""
    try:
        return moment.astimezone(zone_of(zone or "UTC"))
    except OverflowError:
        # In that zone, the last hours of 9999 are in year 10000, which Python does not support.
        return moment.astimezone(UTC)
