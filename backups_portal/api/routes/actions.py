"""Actions: what a project does by itself when something happens."""

from typing import Any

from ninja import Router

from backups_portal.api.bodies import Named, Renamed
from backups_portal.api.crud import add_routes
from backups_portal.api.kinds import Kind, Row


class NewAction(Named):
    """An action; what triggers it and what it does is kept as it is."""

    active: bool = True
    trigger: list[Any] = []


class ChangedAction(Renamed):
    """What of an action is edited."""

    active: bool | None = None
    trigger: list[Any] | None = None


def _shape(row: Row) -> Row:
    # The command line goes through the triggers of every action that it copies.
    return {"trigger": [], **row}


ACTION = Kind(title="Action", table="action", created="action", shape=_shape)

router = Router(tags=["Actions"])
add_routes(router, ACTION, "/action", body=NewAction, changes=ChangedAction)
