"""Serve the kinds of resources that have no special behaviour."""

from http import HTTPStatus

from ninja import Router
from pydantic import Field

from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, profile
from backups_portal.tagoio_api.envelope import ApiError, NotFoundError
from backups_portal.tagoio_api.requests.json_bodies import (
    Body,
    Changes,
    Named,
    Renamed,
    Tag,
    changes_of,
)
from backups_portal.tagoio_api.resources.crud import Overrides, add_routes
from backups_portal.tagoio_api.resources.resource_kinds import Kind, Row

# Every project has these two: clients look one up before they create a device, and scripts contain
# their ids.
PUBLIC_NETWORK: Row = {
    "id": "5bbd0d144051a50034cd19fb",
    "name": "HTTPS",
    "tags": [],
    "description": "Devices that send their data by HTTPS",
    "public": True,
}
PUBLIC_CONNECTOR: Row = {
    "id": "5f5a8f3351d4db99c40dece5",
    "name": "Custom HTTPS",
    "tags": [],
    "description": "Devices that send their data by HTTPS",
    "networks": [PUBLIC_NETWORK["id"]],
    "public": True,
}


class NewDashboard(Body):
    """A dashboard; clients may store any other keys, too."""

    label: str = Field(min_length=1, max_length=1000)
    visible: bool = True
    arrangement: list[object] = []
    tabs: list[object] = []
    tags: list[Tag] = []


class NewAction(Named):
    """An action; its triggers and effects are stored as they are."""

    active: bool = True
    trigger: list[object] = []


class NewPolicy(Named):
    """A policy: which permissions apply to whom."""

    active: bool = True
    permissions: list[object] = []
    targets: list[object] = []


def _dashboard(row: Row) -> Row:
    # Clients expect these in every dashboard, even if it was created without them.
    return {"type": "dashboard", "blueprint_devices": [], **row} if "label" in row else row


# TagoIO's command line iterates over the triggers of every action that it copies.
ACTION = Kind("Action", "action", "action", shape=lambda row: {"trigger": [], **row})
CONNECTOR = Kind(
    "Connector",
    "connector",
    "connector",
    shape=lambda row: {"networks": [], **row},
    public=PUBLIC_CONNECTOR,
)
NETWORK = Kind("Network", "network", "network", public=PUBLIC_NETWORK)
POLICY = Kind("Access Management", "access_rule", "am_id", listed=("id", "name", "tags"))
DASHBOARD = Kind(
    "Dashboard",
    "dashboard",
    "dashboard",
    listed=("id", "label", "visible"),
    order="label",
    shape=_dashboard,
)


EDITED: dict[type[Body], type[Changes]] = {
    new: changes_of(new, name, f"The fields of {what} to change.")
    for new, name, what in (
        (NewDashboard, "ChangedDashboard", "a dashboard"),
        (NewAction, "ChangedAction", "an action"),
        (NewPolicy, "ChangedPolicy", "a policy"),
    )
}
POLICY_ANSWERS = Overrides(
    updated="Access Management Successfully Updated",
    removed="Access Management Successfully Deleted",
)
# The OpenAPI tag, the kind, its path, the schema of a creation, and its overrides.
TABLE: tuple[tuple[str, Kind, str, type[Body], Overrides | None], ...] = (
    ("Dashboards", DASHBOARD, "/dashboard", NewDashboard, None),
    ("Actions", ACTION, "/action", NewAction, None),
    ("Access management", POLICY, "/am", NewPolicy, POLICY_ANSWERS),
    ("Networks", NETWORK, "/integration/network", Named, None),
    ("Connectors", CONNECTOR, "/integration/connector", Named, None),
)

network_tokens = Router(tags=["Networks"], auth=profile)
TOKENS = "/integration/network/token"


@network_tokens.get(TOKENS + "/{value}", summary="List the tokens of a Network")
def list_tokens(request: ApiRequest, value: str) -> list[Row]:
    """List none: servers of networks do not send to this API; devices do."""
    return []


@network_tokens.post(TOKENS, summary="Create a token for a Network")
def make_token(request: ApiRequest) -> str:
    """Refuse: devices send with their own tokens."""
    raise ApiError("Networks have no tokens here: devices send with theirs", HTTPStatus.FORBIDDEN)


@network_tokens.delete(TOKENS + "/{value}", summary="Revoke a token of a Network")
def delete_token(request: ApiRequest, value: str) -> str:
    """Refuse: there is none."""
    raise NotFoundError("Token")


def _router(
    tag: str, kind: Kind, path: str, new: type[Body], overrides: Overrides | None
) -> Router:
    router = Router(tags=[tag])
    add_routes(router, kind, path, body=new, changes=EDITED.get(new, Renamed), overrides=overrides)
    return router


# Token paths must match before networks by id.
ROUTERS = (network_tokens, *(_router(*row) for row in TABLE))
