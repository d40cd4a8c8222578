"""Connectors, which tell how devices of a network are read."""

from ninja import Router

from backups_portal.api.bodies import Named, Renamed
from backups_portal.api.crud import Doing, add_routes
from backups_portal.api.kinds import Kind, Row
from backups_portal.api.publics import CONNECTOR as PUBLIC
from backups_portal.api.publics import with_public


def _shape(row: Row) -> Row:
    return {"networks": [], **row}


CONNECTOR = Kind(title="Connector", table="connector", created="connector", shape=_shape)

router = Router(tags=["Connectors"])
add_routes(
    router,
    CONNECTOR,
    "/integration/connector",
    body=Named,
    changes=Renamed,
    doing=with_public(CONNECTOR, PUBLIC, Doing()),
)
