"""Networks, over which devices send; the kind to copy for another one."""

from ninja import Router

from backups_portal.api.bodies import Named, Renamed
from backups_portal.api.crud import Doing, add_routes
from backups_portal.api.kinds import Kind
from backups_portal.api.publics import NETWORK as PUBLIC
from backups_portal.api.publics import with_public

NETWORK = Kind(title="Network", table="network", created="network")

router = Router(tags=["Networks"])
add_routes(
    router,
    NETWORK,
    "/integration/network",
    body=Named,
    changes=Renamed,
    doing=with_public(NETWORK, PUBLIC, Doing()),
)
