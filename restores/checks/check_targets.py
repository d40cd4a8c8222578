"""Devices and variables that checks may name: those of the newest backup."""

from dataclasses import dataclass

from backups_portal.lib.loggers import get_logger
from backups_portal.projects.models import Project
from backups_portal.ui.visible_names import seen_name
from snapshots.engine.errors import EngineError
from snapshots.models import Snapshot
from snapshots.reports.contents import DeviceLine, recall_inside
from snapshots.reports.device_reading import UnknownDeviceError, open_device

log = get_logger(__name__)

# Names that a form suggests while the owner types.
OFFERED = 300
# Devices of the same name that a refusal lists.
NAMED = 5
NO_BACKUP = "There is no backup yet in which a device can be looked up."
UNREADABLE = "The devices of the newest backup cannot be read right now. Try again later."


@dataclass(frozen=True)
class Target:
    """The device that a check is about."""

    device_id: str
    device_name: str

    def fields(self) -> dict[str, str]:
        """Return the fields of a check."""
        return {"device_id": self.device_id, "device_name": self.device_name}


EVERY_DEVICE = Target("", "")


def offered_names(project: Project) -> list[str]:
    """Return device names of the newest backup to suggest; [] if unknown."""
    try:
        names = {device.name for device in _devices(project) if device.name}
    except ValueError:
        return []
    return sorted(names, key=str.casefold)[:OFFERED]


def find_device(project: Project, text: str) -> Target:
    """Find a device of the newest backup by its name or id.

    Raises:
        ValueError: none matches, or several do; the message is fit for a page.
    """
    devices = _devices(project)
    wanted = text.casefold()
    found = [one for one in devices if text in (one.device_id, one.name)] or [
        one for one in devices if one.name.casefold() == wanted
    ]
    if not found:
        raise ValueError(f"The newest backup has no device “{seen_name(text)}”.")
    if len(found) > 1:
        ids = ", ".join(device.device_id for device in found[:NAMED])
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        raise ValueError(
            f"{len(found)} devices are called “{seen_name(text)}”. Enter an id: {ids}{more}."
        )
    return Target(found[0].device_id, found[0].name)


def check_variable(project: Project, target: Target, variable: str) -> None:
    """Make sure that a device has numbers of a variable, if readable now.

    Checks of every device, and those of a backup that cannot be read now, are left to the proof.

    Raises:
        ValueError: it has none; the message is fit for a page.
    """
    newest = _newest(project)
    if newest is None or not target.device_id:
        return
    try:
        series = open_device(newest, target.device_id).records.series
    except (EngineError, UnknownDeviceError):
        log.warning("variables cannot be read", snapshot=newest.pk, exc_info=True)
        return
    types = {one.type for one in series if one.variable == variable}
    device, name = seen_name(target.device_name), seen_name(variable)
    if not types:
        raise ValueError(f"In the newest backup, {device} has no variable “{name}”.")
    if "number" not in types:
        raise ValueError(f"In the newest backup, “{name}” of {device} holds no numbers.")


def _devices(project: Project) -> list[DeviceLine]:
    """Return the devices of the newest backup; raises ValueError."""
    newest = _newest(project)
    if newest is None:
        raise ValueError(NO_BACKUP)
    try:
        return [device for device in recall_inside(newest).devices if device.device_id]
    except EngineError as error:
        log.warning("contents cannot be read", snapshot=newest.pk, exc_info=True)
        raise ValueError(UNREADABLE) from error


def _newest(project: Project) -> Snapshot | None:
    return Snapshot.objects.filter(project=project).good().order_by("-taken_at", "-id").first()
