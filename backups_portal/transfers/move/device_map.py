"""Match devices of the source to those of the target.

Devices match by id, serial number, tag or name. An ambiguous match is never resolved by guessing.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from backups_portal.transfers.plan.selection import Unmatched


@dataclass(frozen=True)
class Device:
    """The properties by which a device is matched.

    Attributes:
        serials: The serial numbers of its tokens.
        tag: The value of the tag by which devices are matched.
    """

    id: str
    name: str
    serials: tuple[str, ...] = ()
    tag: str = ""


@dataclass(frozen=True)
class Match:
    """A device of the source, and its counterpart in the target.

    Attributes:
        target: The id of its counterpart; None if it is skipped.
        how: One of id, serial number, tag, name, created or skipped.
        reason: Why it is skipped.
    """

    source: str
    name: str
    target: str | None
    how: str
    reason: str = ""


Keys = Callable[[Device], Iterable[str]]
# Most reliable first. Ids cannot be ambiguous.
WAYS: tuple[tuple[str, Keys], ...] = (
    ("id", lambda device: [device.id]),
    ("serial number", lambda device: device.serials),
    ("tag", lambda device: [device.tag] if device.tag else []),
    ("name", lambda device: [device.name]),
)


def match_devices(
    sources: Sequence[Device], targets: Sequence[Device], *, unmatched: Unmatched
) -> list[Match]:
    """Match every device of the source, in order."""
    found: dict[str, Match] = {}
    for how, keys in WAYS:
        waiting = [device for device in sources if device.id not in found]
        taken = {match.target for match in found.values()}
        free = [device for device in targets if device.id not in taken]
        for match in _match_by(how, keys, waiting, free):
            found[match.source] = match
    return [found.get(device.id) or _without(device, unmatched) for device in sources]


def _match_by(
    how: str, keys: Keys, sources: Sequence[Device], targets: Sequence[Device]
) -> Iterable[Match]:
    named: dict[str, set[str]] = {}
    for target in targets:
        for key in keys(target):
            named.setdefault(key, set()).add(target.id)
    fits = {
        device.id: set().union(*(named.get(key, set()) for key in keys(device)))
        for device in sources
    }
    wanted = Counter(target for ids in fits.values() for target in ids)
    for device in sources:
        ids = fits[device.id]
        if len(ids) > 1:
            yield _skipped(device, f"{len(ids)} devices of the target have its {how}")
        elif ids and wanted[next(iter(ids))] > 1:
            yield _skipped(device, f"several devices of the source have its {how}")
        elif ids:
            yield Match(device.id, device.name, next(iter(ids)), how)


def _skipped(device: Device, reason: str) -> Match:
    return Match(device.id, device.name, None, "skipped", reason)


def _without(device: Device, unmatched: Unmatched) -> Match:
    if unmatched is Unmatched.CREATE:
        # It keeps its id, which no device of the target has, or they would match.
        return Match(device.id, device.name, device.id, "created")
    return _skipped(device, "the target does not have it")
