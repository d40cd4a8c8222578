"""Read which move a link suggests, as far as the visitor may make it.

The link is the address of the page “Move data” with these optional parameters: `from` and `into`
are slugs of projects, `device` is the id of a device in the first and may be repeated, `variable`
is a name and may be repeated, `start` and `end` are ISO 8601 and limit the time of records.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from django.http import QueryDict

from backups_portal.lib.timezones import zone_of
from backups_portal.projects.models import Project
from backups_portal.transfers.plan.selection import Choice
from backups_portal.ui.formats import local
from backups_portal.ui.visible_names import seen_name

DEVICE_ID = re.compile("[0-9a-f]{24}")
NO_DEVICE = "The link has a wrong device. It was left out."
NO_VARIABLE = "The link has a wrong variable. It was left out."
# Devices and variables of a link that is made here; servers refuse addresses of 8,000 characters.
MAX_LINKED = 50
ENDS_FIRST = "The period of the link ends before it begins. It was left out."
SAME = "The link names the same project twice. Choose where the data goes."
NOT_HERE = "The link moves data between two other projects. Check both below."


def choice_query(choice: Choice) -> str:
    """Return the parameters of a link that suggests a choice's records again.

    Too many of them for an address, or resources alone, which a link cannot name, suggest nothing.
    """
    devices, variables = choice.devices or (), choice.variables or ()
    if choice.devices == () or len(devices) + len(variables) > MAX_LINKED:
        return ""
    bounds = {"start": choice.since, "end": choice.until}
    asked = [("device", device) for device in devices]
    asked += [("variable", name) for name in variables]
    asked += [(name, moment.isoformat()) for name, moment in bounds.items() if moment]
    return urlencode(asked)


def local_text(moment: datetime | None, zone: str) -> str:
    """Format a time for a date-time field, in a time zone."""
    if moment is None:
        return ""
    there = local(moment, zone).replace(tzinfo=None)
    return there.isoformat(timespec="seconds" if there.second else "minutes")


@dataclass(frozen=True)
class ProjectChoice:
    """A project of the visitor.

    Attributes:
        origin: The project from whose backup it was restored, if any.
    """

    pk: UUID
    name: str
    slug: str
    state: str
    created_at: datetime
    origin: UUID | None = None

    @property
    def is_running(self) -> bool:
        """Tell whether data can be moved from it and into it."""
        return self.state == Project.State.ACTIVE


@dataclass
class Suggestion:
    """Initial values of the form, and sentences on what was ignored."""

    source: UUID
    target: UUID | None = None
    devices: list[str] = field(default_factory=list)
    variables: list[str] = field(default_factory=list)
    since: datetime | None = None
    until: datetime | None = None
    ignored: list[str] = field(default_factory=list)


def read_suggestion(
    asked: QueryDict, choices: Sequence[ProjectChoice], project: UUID, zone: str
) -> Suggestion:
    """Read a link's parameters; report and ignore wrong or forbidden ones.

    Args:
        choices: The projects that the visitor owns.
        project: The project of the page, which is one of the two sides.
        zone: The time zone of times without one.
    """
    found = _usual_move(choices, project)
    source = _project(found, asked, "from", choices)
    if found.ignored:
        # Without its source, the link's devices mean nothing.
        return found
    target = _project(found, asked, "into", choices)
    if source or target:
        _take_sides(found, source, target, project)
    if source or not found.ignored:
        _take_devices(found, asked.getlist("device"))
        _take_variables(found, asked.getlist("variable"))
        _take_period(found, asked, zone)
    return found


def _usual_move(choices: Sequence[ProjectChoice], project: UUID) -> Suggestion:
    """Suggest moving from a backup project back to the project it came from."""
    running = {one.pk: one for one in choices if one.is_running}
    origin = running[project].origin if project in running else None
    if origin in running:
        return Suggestion(project, origin)
    restored = [one for one in running.values() if one.origin == project]
    if restored and project in running:
        return Suggestion(max(restored, key=lambda one: one.created_at).pk, project)
    return Suggestion(project)


def _take_sides(found: Suggestion, source: UUID | None, target: UUID | None, project: UUID) -> None:
    """Set the projects of a link, and fill in a missing side."""
    source = source or (found.source if target == project else project)
    if target is None:
        target = found.target if source == found.source else project
    found.source, found.target = source, target if target != source else None
    if project not in (source, target):
        found.target = project
        found.ignored.append(NOT_HERE)
    elif source == target:
        found.ignored.append(SAME)


def _take_devices(found: Suggestion, ids: list[str]) -> None:
    found.devices = [one for one in dict.fromkeys(ids) if DEVICE_ID.fullmatch(one)]
    if len(found.devices) < len(set(ids)):
        found.ignored.append(NO_DEVICE)


def _take_variables(found: Suggestion, names: list[str]) -> None:
    # The field separates names by commas.
    found.variables = [name for name in dict.fromkeys(names) if name.strip() and "," not in name]
    if len(found.variables) < len(set(names)):
        found.ignored.append(NO_VARIABLE)


def _take_period(found: Suggestion, asked: QueryDict, zone: str) -> None:
    since = _moment(found, asked, "start", zone)
    until = _moment(found, asked, "end", zone)
    if since and until and since >= until:
        found.ignored.append(ENDS_FIRST)
    else:
        found.since, found.until = since, until


def _project(
    found: Suggestion, asked: QueryDict, name: str, choices: Sequence[ProjectChoice]
) -> UUID | None:
    slug = asked.get(name)
    if not slug:
        return None
    one = next((one for one in choices if one.slug == slug), None)
    if one is not None and one.is_running:
        return one.pk
    if one is None:
        found.ignored.append("The link names a project that you do not own. It was left out.")
    else:
        found.ignored.append(f"{seen_name(one.name)}, which the link names, is shut down.")
    return None


def _moment(found: Suggestion, asked: QueryDict, name: str, zone: str) -> datetime | None:
    text = asked.get(name, "")
    if not text:
        return None
    try:
        # A plus sign that was not escaped arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=zone_of(zone))
        # Fields show whole seconds, so round the end up to include all of its last second.
        part = timedelta(microseconds=-moment.microsecond % 1_000_000 if name == "end" else 0)
        return (moment + part).astimezone(UTC)
    except (ValueError, OverflowError):
        found.ignored.append(f"The link has a wrong {name} of the period. It was left out.")
        return None
