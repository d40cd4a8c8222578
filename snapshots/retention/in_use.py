"""Snapshots that are being read, which retention leaves alone.

What reads them, such as a restore, is above this app and says here how to find out.
"""

from collections.abc import Callable, Collection
from uuid import UUID

Finder = Callable[[UUID], Collection[UUID]]
_finders: list[Finder] = []


def register_use(find: Finder) -> None:
    """Have `find` asked for a project's snapshots in use before removal."""
    _finders.append(find)


def snapshots_in_use(project_id: UUID) -> set[UUID]:
    """Return the ids of the project's snapshots that are being read."""
    return {pk for find in _finders for pk in find(project_id)}
