"""Access policies: what a project's people and analyses may do."""

from typing import Any

from ninja import Router

from backups_portal.api.bodies import Named, Renamed
from backups_portal.api.crud import Doing, add_routes
from backups_portal.api.kinds import Kind


class NewPolicy(Named):
    """A policy: what is allowed or refused, and to whom."""

    active: bool = True
    permissions: list[Any] = []
    targets: list[Any] = []


class ChangedPolicy(Renamed):
    """What of a policy is edited."""

    active: bool | None = None
    permissions: list[Any] | None = None
    targets: list[Any] | None = None


POLICY = Kind(
    title="Access Management",
    table="access_rule",
    created="am_id",
    listed=("id", "name", "tags"),
)

router = Router(tags=["Access management"])
add_routes(
    router,
    POLICY,
    "/am",
    body=NewPolicy,
    changes=ChangedPolicy,
    doing=Doing(
        updated="Access Management Successfully Updated",
        removed="Access Management Successfully Deleted",
    ),
)
