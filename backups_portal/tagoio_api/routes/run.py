"""Serve the settings of Run, the pages for a project's own users."""

from ninja import Router
from psycopg.types.json import Jsonb

from backups_portal.projectdb.ids import new_token_uuid
from backups_portal.projectdb.resource_writer import kept_settings
from backups_portal.projectdb.stored_json import as_object
from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, Caller, profile
from backups_portal.tagoio_api.envelope import ApiError
from backups_portal.tagoio_api.requests.json_bodies import SentObject
from backups_portal.tagoio_api.resources.resource_kinds import Row

# TagoIO's command line iterates over these when it copies between projects.
EMPTY: Row = {
    "active": True,
    "sub_title": "",
    "sidebar_buttons": [],
    "signin_buttons": [],
    "signup_fields": [],
    "email_templates": {},
    "theme": {},
}


router = Router(tags=["Run"], auth=profile)


@router.get("/run", summary="Read Run")
def read_run(request: ApiRequest) -> Row:
    """Read all settings, with the project's address and anonymous token."""
    caller = request.auth
    row = caller.connection.execute(
        "SELECT name, settings, updated_at FROM run_settings"
    ).fetchone()
    name, settings, updated_at = row or (caller.project.name, {}, caller.project.created_at)
    return {
        **EMPTY,
        **as_object(settings),
        "name": name,
        "profile": caller.project.profile_id,
        # Run's pages are not served here, and `.invalid` never resolves (RFC 2606).
        "url": f"{caller.project.slug}.run.invalid",
        "anonymous_token": _anonymous(caller),
        "created_at": caller.project.created_at,
        "updated_at": updated_at,
    }


def _anonymous(caller: Caller) -> str:
    """Make a text that looks like a token but is not valid.

    TagoIO's command line replaces it in the resources that it copies.
    """
    digest = caller.keys.digest(f"anonymous visitors of {caller.project.prefix}")
    return str(new_token_uuid(caller.project.prefix, int.from_bytes(digest[:12])))


@router.put("/run", summary="Edit Run")
def edit_run(request: ApiRequest, values: SentObject) -> str:
    """Replace the value of each key that is named."""
    caller = request.auth
    name = values.pop("name", None)
    settings = kept_settings("run_settings", values)
    if name is not None and not isinstance(name, str):
        raise ApiError("name must be text")
    caller.connection.execute(
        """INSERT INTO run_settings AS old (name, settings) VALUES (coalesce(%(name)s, ''), %(new)s)
           ON CONFLICT (singleton) DO UPDATE SET name = coalesce(%(name)s, old.name),
               settings = old.settings || %(new)s, updated_at = now()""",
        {"name": name, "new": Jsonb(settings)},
    )
    return "TagoIO Run Successfully Updated"
