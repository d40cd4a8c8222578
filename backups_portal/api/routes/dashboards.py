"""Dashboards, whose widgets have routes of their own."""

from typing import Any

from ninja import Router
from pydantic import Field

from backups_portal.api.bodies import Body, Changes, Tag
from backups_portal.api.crud import add_routes
from backups_portal.api.kinds import Kind, Row


class NewDashboard(Body):
    """A dashboard; the keys that are not declared here are kept as they are."""

    label: str = Field(min_length=1, max_length=1000)
    visible: bool = True
    arrangement: list[Any] = []
    tabs: list[Any] = []
    tags: list[Tag] = []


class ChangedDashboard(Changes):
    """What of a dashboard is edited."""

    label: str | None = Field(None, min_length=1, max_length=1000)
    visible: bool | None = None
    arrangement: list[Any] | None = None
    tabs: list[Any] | None = None
    tags: list[Tag] | None = None


def _shape(row: Row) -> Row:
    if "label" not in row:
        return row
    # Clients read these from every dashboard, also from one that was made without them.
    return {"type": "dashboard", "blueprint_devices": [], **row}


DASHBOARD = Kind(
    title="Dashboard",
    table="dashboard",
    created="dashboard",
    listed=("id", "label", "visible"),
    order="label",
    shape=_shape,
)

router = Router(tags=["Dashboards"])
add_routes(router, DASHBOARD, "/dashboard", body=NewDashboard, changes=ChangedDashboard)
