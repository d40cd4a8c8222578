"""Time zones of the pinned tzdata package, whatever the machine has.

Machines differ: one may know `localtime`, or a zone that others have dropped. A zone accepted on
one machine must be known on all.
"""

from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

UTC = "UTC"
PACKAGE = files("tzdata")


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """List every name of the IANA time zone database, read once."""
    return frozenset((PACKAGE / "zones").read_text(encoding="ascii").split())


def is_zone(name: str) -> bool:
    """Tell whether a zone has this name, which may come from a visitor."""
    return name in zone_names()


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """Find the zone of a name accepted earlier; UTC if it is no longer known.

    Schedules, pages and restores continue; the project's pages report the unknown zone.
    """
    if not is_zone(name):
        name = UTC
    with (PACKAGE / "zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
