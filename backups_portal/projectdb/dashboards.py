"""Write dashboards and their widgets."""

from collections.abc import Mapping, Sequence

from psycopg import Connection
from psycopg.types.json import Jsonb

from backups_portal.projectdb.resource_writer import create


def create_dashboard(
    connection: Connection,
    *,
    label: str,
    widgets: Sequence[Mapping[str, object]] = (),
    **values: object,
) -> str:
    """Make a dashboard with widgets, placed one below the other."""
    with connection.transaction():
        dashboard_id = create(connection, "dashboard", label=label, **values)
        places = []
        for row, settings in enumerate(widgets):
            widget_id = create(
                connection, "widget", dashboard_id=dashboard_id, settings=dict(settings)
            )
            places.append({"widget_id": widget_id, "x": 0, "y": row, "width": 4, "height": 2})
        connection.execute(
            "UPDATE dashboard SET arrangement = %s WHERE id = %s", [Jsonb(places), dashboard_id]
        )
    return dashboard_id
