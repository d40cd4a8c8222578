"""Whether the API is there, and to whom a token belongs."""

from ninja import Router

from backups_portal.api.identity import ApiRequest, anyone
from backups_portal.api.kinds import Row

router = Router(tags=["General"])


@router.get("/status", summary="Whether the API is there")
def status(request: ApiRequest) -> str:
    """Needs no token."""
    return "OK"


@router.get("/info", auth=anyone, summary="Whose token it is")
def info(request: ApiRequest) -> Row:
    """The device, the analysis or the profile that a token speaks for."""
    return {"id": request.auth.project.profile_id, "name": request.auth.project.name}
