"""Snapshots in use, which retention leaves alone.

Their users, such as restores, are in layers above this app, so they register a finder here. They do
so when a process starts, so this module imports nothing that loads the engine.
"""

from collections.abc import Callable, Collection
from uuid import UUID

Finder = Callable[[UUID], Collection[UUID]]
_finders: list[Finder] = []


def register_use(find: Finder) -> None:
    """Register a function that finds a project's snapshots in use."""
    _finders.append(find)


def snapshots_in_use(project_id: UUID) -> set[UUID]:
    """Return the ids of the project's snapshots that are in use."""
    return {pk for find in _finders for pk in find(project_id)}
