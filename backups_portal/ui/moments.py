"""Moments on pages: the time zone that shows them, and their tooltip."""

from collections.abc import Callable
from datetime import date, datetime

from django.contrib.humanize.templatetags.humanize import naturaltime
from django.utils import timezone
from markupsafe import Markup

from backups_portal.ui import formats
from backups_portal.ui.viewer_time_zone import viewers_zone

UNKNOWN = "\N{EM DASH}"


def moment(when: datetime | None, zone: str | None = None) -> str:
    """Show date and time in the viewer's zone.

    The project's and UTC appear on hover.

    The zone is named unless it is obvious: the viewer's own, with the same time as the project's.
    Days of backups are the project's, so a page never mixes two zones without saying so.

    Args:
        zone: The project's, shown while the viewer's is unknown; UTC without one.
    """
    return UNKNOWN if when is None else _in_viewers_zone(when, zone, _near)


def exact_moment(when: datetime, zone: str | None = None) -> str:
    """Show a moment as `moment` does, with seconds and any fraction."""
    return _in_viewers_zone(when, zone, _exact)


def clock(when: datetime | None, zone: str | None = None) -> str:
    """Show date and time in this zone only, or UTC without one, and name it."""
    return UNKNOWN if when is None else _time(when, zone, _labelled(formats.local(when, zone)))


def dated(when: datetime | None, zone: str | None = None) -> str:
    """Show date and time in this zone only, always with the year and the zone.

    For text that is printed and read later by somebody else.
    """
    if when is None:
        return UNKNOWN
    local = formats.local(when, zone)
    return _time(when, zone, f"{formats.day_and_time(local)} {formats.zone_label(local)}")


def day_of(when: datetime, zone: str | None = None) -> str:
    """Show the date of a moment, in the same zone as `moment`."""
    return _time(when, zone, day(formats.local(when, viewers_zone() or zone)))


def day(on: date) -> str:
    """Write a day as 28 Nov, with the year unless it is the current one."""
    return formats.day(on, this_year=_this_year())


def ago(when: datetime, zone: str | None = None) -> str:
    """Show the time from or until now, with the moment itself on hover."""
    text = naturaltime(when)
    ahead = text.removesuffix(" from now")
    return _time(when, zone, text if text == ahead else f"in {ahead}")


def in_utc(when: datetime | None, zone: str | None = None) -> str:
    """Write a moment in UTC, for readers without a mouse.

    Returns:
        "" if `moment` already shows UTC.
    """
    shown = viewers_zone() or zone or "UTC"
    if when is None or formats.zone_label(formats.local(when, shown)) == "UTC":
        return ""
    text = _labelled(formats.local(when, None))
    return Markup(f'<time datetime="{when.isoformat()}">{text}</time>')  # noqa: S704


def _in_viewers_zone(when: datetime, zone: str | None, write: Callable[[datetime], str]) -> Markup:
    viewers = viewers_zone()
    local = formats.local(when, viewers or zone)
    in_project = formats.local(when, zone or viewers)
    is_obvious = viewers and local.utcoffset() == in_project.utcoffset()
    return _time(when, zone, write(local) if is_obvious else f"{write(local)} {_zone(local)}")


def _this_year() -> int:
    return formats.local(timezone.now(), viewers_zone()).year


def _near(local: datetime) -> str:
    return formats.day_and_time(local, this_year=_this_year())


def _exact(local: datetime) -> str:
    fraction = f".{local.microsecond:06}".rstrip("0") if local.microsecond else ""
    return f"{_near(local)}:{local.second:02}{fraction}"


def _labelled(local: datetime) -> str:
    return f"{_near(local)} {_zone(local)}"


def _zone(local: datetime) -> str:
    return f'<span class="zone">{formats.zone_label(local)}</span>'


def _time(when: datetime, zone: str | None, shown: str) -> Markup:
    """Render a time element; all zones appear on hover, each once."""
    clocks = [one for one in (viewers_zone(), zone, "UTC") if one]
    texts = dict.fromkeys(formats.full(formats.local(when, one)) for one in clocks)
    # Moments and zone abbreviations need no escaping, which would be slow for a hundred per page.
    hover = " \N{MIDDLE DOT} ".join(texts)
    element = f'<time datetime="{when.isoformat()}" title="{hover}">{shown}</time>'
    return Markup(element)  # noqa: S704
