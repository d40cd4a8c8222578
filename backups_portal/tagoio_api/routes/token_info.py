"""Report that the API is up, and what a token belongs to."""

from ninja import Router

from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, anyone
from backups_portal.tagoio_api.resources.resource_kinds import Row
from backups_portal.tagoio_api.routes import analyses, devices

router = Router(tags=["General"])


@router.get("/status", summary="Check that the API is up")
def status(request: ApiRequest) -> str:
    """Answer without a token."""
    return "OK"


@router.get("/info", auth=anyone, summary="Read what a token belongs to")
def info(request: ApiRequest) -> Row:
    """Read the device, analysis or profile that a token speaks for."""
    caller = request.auth
    profile_id = caller.project.profile_id
    if caller.token.device_id:
        return {"profile": profile_id, **devices.read(caller, caller.token.device_id)}
    if caller.token.analysis_id:
        return {"profile": profile_id, **analyses.read_analysis(caller, caller.token.analysis_id)}
    return {"id": profile_id, "name": caller.project.name}
