"""Time zones: those of the pinned tzdata package, whatever the machine at hand knows besides.

Machines differ: one knows `localtime` or a zone that others have given up, and then knows it no
longer. What was accepted on one has to be understood on all.
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
    """Tell whether there is a zone of this name, which a visitor may have sent."""
    return name in zone_names()


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """Find the zone of a name that was accepted once; UTC if unknown by now.

    Schedules, pages and restores go on; the project's pages say that the zone is unknown.
    """
    if not is_zone(name):
        name = UTC
    with (PACKAGE / "zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
