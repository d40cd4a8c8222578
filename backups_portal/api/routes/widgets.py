"""Widgets of a dashboard: objects of any form."""

from typing import Any

import psycopg
from ninja import Body, Router
from psycopg.types.json import Jsonb

from backups_portal.api.crud import REMOVED, UPDATED
from backups_portal.api.envelope import NotFoundError
from backups_portal.api.identity import ApiRequest, profile
from backups_portal.api.kinds import Row
from backups_portal.projectdb.resources import create

# What of a widget is the portal's: clients send the ids of the dashboard that they copy.
OURS = frozenset({"id", "dashboard", "dashboard_id", "profile", "created_at", "updated_at"})
ALL = "/dashboard/{dashboard_id}/widget"
ONE = ALL + "/{widget_id}"

router = Router(tags=["Widgets"], auth=profile)


def _settings(values: Row) -> Row:
    return {key: value for key, value in values.items() if key not in OURS}


@router.post(ALL, summary="Create Widget")
def create_widget(
    request: ApiRequest,
    dashboard_id: str,
    values: dict[str, Any] = Body(...),  # noqa: B008 - ninja's way to name a body
) -> Row:
    """Where it is shown, the dashboard's `arrangement` says."""
    try:
        widget_id = create(
            request.auth.connection,
            "widget",
            dashboard_id=dashboard_id,
            settings=_settings(values),
        )
    except (psycopg.errors.ForeignKeyViolation, psycopg.errors.CheckViolation) as error:
        raise NotFoundError("Dashboard") from error
    return {"widget": widget_id}


@router.get(ONE, summary="Read Widget")
def read_widget(request: ApiRequest, dashboard_id: str, widget_id: str) -> Row:
    """All that was sent of it, with its ids."""
    row = request.auth.connection.execute(
        "SELECT settings FROM widget WHERE id = %s AND dashboard_id = %s",
        [widget_id, dashboard_id],
    ).fetchone()
    if row is None:
        raise NotFoundError("Widget")
    return {**row[0], "id": widget_id, "dashboard": dashboard_id}


@router.put(ONE, summary="Edit Widget")
def edit_widget(
    request: ApiRequest,
    dashboard_id: str,
    widget_id: str,
    values: dict[str, Any] = Body(...),  # noqa: B008 - ninja's way to name a body
) -> str:
    """Each key that is named takes the place of what it had."""
    changed = request.auth.connection.execute(
        "UPDATE widget SET settings = settings || %s WHERE id = %s AND dashboard_id = %s",
        [Jsonb(_settings(values)), widget_id, dashboard_id],
    )
    if not changed.rowcount:
        raise NotFoundError("Widget")
    return UPDATED


@router.delete(ONE, summary="Delete Widget")
def delete_widget(request: ApiRequest, dashboard_id: str, widget_id: str) -> str:
    """The dashboard's arrangement is the client's to change."""
    deleted = request.auth.connection.execute(
        "DELETE FROM widget WHERE id = %s AND dashboard_id = %s", [widget_id, dashboard_id]
    )
    if not deleted.rowcount:
        raise NotFoundError("Widget")
    return REMOVED
