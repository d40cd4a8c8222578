"""Whether the API is there, and to whom a token belongs."""

from ninja import Router

from backups_portal.api.identity import ApiRequest, anyone
from backups_portal.api.kinds import Row
from backups_portal.api.routes import analyses, devices

router = Router(tags=["General"])


@router.get("/status", summary="Whether the API is there")
def status(request: ApiRequest) -> str:
    """Needs no token."""
    return "OK"


@router.get("/info", auth=anyone, summary="Whose token it is")
def info(request: ApiRequest) -> Row:
    """The device, the analysis or the profile that a token speaks for."""
    caller = request.auth
    profile_id = caller.project.profile_id
    if caller.token.device_id:
        return {"profile": profile_id, **devices.read(caller, caller.token.device_id)}
    if caller.token.analysis_id:
        return {"profile": profile_id, **analyses.read_analysis(caller, caller.token.analysis_id)}
    return {"id": profile_id, "name": caller.project.name}
