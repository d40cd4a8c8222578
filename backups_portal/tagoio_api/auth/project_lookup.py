"""Cached look-up of a token's project in the portal's own database."""

import time

from backups_portal.projects.models import Project

# A cached project is used for this long, so tokens may still work that long after their project was
# shut down. The token itself is looked up on every request.
SECONDS = 1.0
MAX_KNOWN = 1000

_known: dict[str, tuple[float, Project]] = {}


def running_project_of(prefix: str, *, fresh: bool = False) -> Project | None:
    """Find the running project by the 8 hex digits that begin its tokens.

    Args:
        fresh: Bypass the cache.
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
    """Clear the cache."""
    _known.clear()
