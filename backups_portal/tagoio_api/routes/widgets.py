"""Serve widgets of a dashboard: objects of any form."""

import psycopg
from ninja import Router
from psycopg.types.json import Jsonb

from backups_portal.projectdb.resource_writer import create, kept_settings
from backups_portal.projectdb.stored_json import as_object
from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, profile
from backups_portal.tagoio_api.envelope import NotFoundError
from backups_portal.tagoio_api.requests.json_bodies import SentObject
from backups_portal.tagoio_api.resources.crud import REMOVED, UPDATED
from backups_portal.tagoio_api.resources.resource_kinds import Row

ALL = "/dashboard/{dashboard_id}/widget"
ONE = ALL + "/{widget_id}"


router = Router(tags=["Widgets"], auth=profile)


@router.post(ALL, summary="Create Widget")
def create_widget(request: ApiRequest, dashboard_id: str, values: SentObject) -> Row:
    """Create a widget; the dashboard's `arrangement` places it."""
    try:
        widget_id = create(
            request.auth.connection,
            "widget",
            dashboard_id=dashboard_id,
            settings=kept_settings("widget", values),
        )
    except (psycopg.errors.ForeignKeyViolation, psycopg.errors.CheckViolation) as error:
        raise NotFoundError("Dashboard") from error
    return {"widget": widget_id}


@router.get(ONE, summary="Read Widget")
def read_widget(request: ApiRequest, dashboard_id: str, widget_id: str) -> Row:
    """Read a widget as it was sent, with its ids."""
    row = request.auth.connection.execute(
        "SELECT settings FROM widget WHERE id = %s AND dashboard_id = %s",
        [widget_id, dashboard_id],
    ).fetchone()
    if row is None:
        raise NotFoundError("Widget")
    return {**as_object(row[0]), "id": widget_id, "dashboard": dashboard_id}


@router.put(ONE, summary="Edit Widget")
def edit_widget(request: ApiRequest, dashboard_id: str, widget_id: str, values: SentObject) -> str:
    """Replace the value of each key that is named."""
    request.auth.change(
        "Widget",
        "UPDATE widget SET settings = settings || %s WHERE id = %s AND dashboard_id = %s",
        [Jsonb(kept_settings("widget", values)), widget_id, dashboard_id],
    )
    return UPDATED


@router.delete(ONE, summary="Delete Widget")
def delete_widget(request: ApiRequest, dashboard_id: str, widget_id: str) -> str:
    """Delete a widget; clients change the dashboard's arrangement."""
    statement = "DELETE FROM widget WHERE id = %s AND dashboard_id = %s"
    request.auth.change("Widget", statement, [widget_id, dashboard_id])
    return REMOVED
