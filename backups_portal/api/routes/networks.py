"""Networks, over which devices send; the kind to copy for another one."""

from http import HTTPStatus

from ninja import Router

from backups_portal.api.bodies import Named, Renamed
from backups_portal.api.crud import Doing, add_routes
from backups_portal.api.envelope import ApiError, NotFoundError
from backups_portal.api.identity import ApiRequest, profile
from backups_portal.api.kinds import Kind, Row
from backups_portal.api.publics import NETWORK as PUBLIC
from backups_portal.api.publics import with_public

NETWORK = Kind(title="Network", table="network", created="network")

router = Router(tags=["Networks"])
TOKENS = "/integration/network/token"


@router.get(TOKENS + "/{value}", auth=profile, summary="List the tokens of a Network")
def list_tokens(request: ApiRequest, value: str) -> list[Row]:
    """None: servers of networks do not send to this API; devices do."""
    return []


@router.post(TOKENS, auth=profile, summary="Make a token for a Network")
def make_token(request: ApiRequest) -> str:
    """Refused."""
    raise ApiError("Networks have no tokens here: devices send with theirs", HTTPStatus.FORBIDDEN)


@router.delete(TOKENS + "/{value}", auth=profile, summary="Revoke a token of a Network")
def delete_token(request: ApiRequest, value: str) -> str:
    """There is none."""
    raise NotFoundError("Token")


add_routes(
    router,
    NETWORK,
    "/integration/network",
    body=Named,
    changes=Renamed,
    doing=with_public(NETWORK, PUBLIC, Doing()),
)
