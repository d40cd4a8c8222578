"""Look-up of the project that a token is of, in the portal's own database."""

import time

from backups_portal.projects.models import Project

# A request may take which project a token is of from one this much earlier, so that tokens may work
# that long after their project was shut down. Tokens themselves are looked up by every request.
SECONDS = 1.0
MAX_KNOWN = 1000

_known: dict[str, tuple[float, Project]] = {}


def running_project_of(prefix: str, *, fresh: bool = False) -> Project | None:
    """Find the running project whose tokens and ids begin with these 8 hex digits.

    Args:
        fresh: Ask the database, however recently it was asked.
    """
    found = _known.get(prefix)
    if found and not fresh and time.monotonic() - found[0] < SECONDS:
        return found[1]
    project = Project.objects.active().filter(prefix=prefix).first()
    if project is None:
        _known.pop(prefix, None)
        return None
    if len(_known) >= MAX_KNOWN:
        forget()
    _known[prefix] = time.monotonic(), project
    return project


def forget() -> None:
    """Forget every project that was looked up."""
    _known.clear()
