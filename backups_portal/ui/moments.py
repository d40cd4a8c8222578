"""Moments on a page: on whose clocks they are shown, and what is said on hover."""

from datetime import date, datetime

from django.contrib.humanize.templatetags.humanize import naturaltime
from django.utils import timezone
from markupsafe import Markup

from backups_portal.ui import formats
from backups_portal.ui.viewer_time_zone import viewers_zone

UNKNOWN = "\N{EM DASH}"


def moment(when: datetime | None, zone: str | None = None) -> str:
    """Show date and time on the viewer's clocks, with those of the project and UTC on hover.

    The zone is named unless it is obvious: the viewer's own, in which the project has the same
    time. Days of backups are the project's, so a page never mixes two zones unsaid.

    Args:
        zone: The project's; its clocks are shown while the viewer's are not known, UTC without one.
    """
    if when is None:
        return UNKNOWN
    viewers = viewers_zone()
    there = formats.local(when, viewers or zone)
    theirs = formats.local(when, zone or viewers)
    is_obvious = viewers and there.utcoffset() == theirs.utcoffset()
    return _time(when, zone, _near(there) if is_obvious else _labelled(there))


def exact_moment(when: datetime, zone: str | None = None) -> str:
    """Show a moment as `moment` does, with its seconds and what part of a second it has."""
    there = formats.local(when, viewers_zone() or zone)
    seconds = f":{there.second:02}"
    if there.microsecond:
        seconds += f".{there.microsecond:06}".rstrip("0")
    viewers = viewers_zone()
    theirs = formats.local(when, zone or viewers)
    shown = f"{_near(there)}{seconds}"
    if not viewers or there.utcoffset() != theirs.utcoffset():
        shown = f'{shown} <span class="zone">{formats.zone_label(there)}</span>'
    return _time(when, zone, shown)


def clock(when: datetime | None, zone: str | None = None) -> str:
    """Show date and time on the clocks of just this zone, UTC without one, and name it."""
    return UNKNOWN if when is None else _time(when, zone, _labelled(formats.local(when, zone)))


def dated(when: datetime | None, zone: str | None = None) -> str:
    """Show date and time on the clocks of just this zone, with year and zone.

    For what is printed and read later, by somebody else.
    """
    if when is None:
        return UNKNOWN
    there = formats.local(when, zone)
    return _time(when, zone, f"{formats.day_and_time(there)} {formats.zone_label(there)}")


def day_of(when: datetime, zone: str | None = None) -> str:
    """Show the date of a moment, as `moment` has it."""
    return _time(when, zone, day(formats.local(when, viewers_zone() or zone)))


def day(on: date) -> str:
    """Write a day as 28 Nov, with its year if that is not this one."""
    return formats.day(on, this_year=_this_year())


def ago(when: datetime, zone: str | None = None) -> str:
    """Show how far a moment is from now, with the moment itself on hover."""
    text = naturaltime(when)
    ahead = text.removesuffix(" from now")
    return _time(when, zone, text if text == ahead else f"in {ahead}")


def in_utc(when: datetime | None, zone: str | None = None) -> str:
    """Spell a moment out in UTC, for those who cannot point.

    Returns:
        "" where `moment` shows UTC already.
    """
    shown = viewers_zone() or zone or "UTC"
    if when is None or formats.zone_label(formats.local(when, shown)) == "UTC":
        return ""
    text = _labelled(formats.local(when, None))
    return Markup(f'<time datetime="{when.isoformat()}">{text}</time>')  # noqa: S704


def _this_year() -> int:
    return formats.local(timezone.now(), viewers_zone()).year


def _near(there: datetime) -> str:
    return formats.day_and_time(there, this_year=_this_year())


def _labelled(there: datetime) -> str:
    return f'{_near(there)} <span class="zone">{formats.zone_label(there)}</span>'


def _time(when: datetime, zone: str | None, shown: str) -> Markup:
    """Mark a moment up; on hover it is told on all clocks, each once."""
    clocks = [one for one in (viewers_zone(), zone, "UTC") if one]
    told = dict.fromkeys(formats.full(formats.local(when, one)) for one in clocks)
    # There is nothing to escape in moments and abbreviations of zones, and a page has a hundred.
    hover = " \N{MIDDLE DOT} ".join(told)
    element = f'<time datetime="{when.isoformat()}" title="{hover}">{shown}</time>'
    return Markup(element)  # noqa: S704
