"""Run: how the pages look that a project's own people see. One object per project."""

from typing import Any

from ninja import Body, Router
from psycopg.types.json import Jsonb

from backups_portal.api.envelope import ApiError
from backups_portal.api.identity import ApiRequest, Caller, profile
from backups_portal.api.kinds import Row
from backups_portal.projectdb.ids import new_token_uuid

# What clients send back as they have read it, and cannot change.
OURS = frozenset(
    {"id", "profile", "url", "anonymous_token", "created_at", "updated_at", "singleton"}
)
# The command line walks through these of both projects that it copies between.
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
    """All settings, with the project's address and the name of its anonymous visitors."""
    caller = request.auth
    row = caller.connection.execute(
        "SELECT name, settings, updated_at FROM run_settings"
    ).fetchone()
    name, settings, updated_at = row or (caller.project.name, {}, caller.project.created_at)
    return {
        **EMPTY,
        **settings,
        "name": name,
        "profile": caller.project.profile_id,
        # No pages for a project's people are served here: a name that leads nowhere by its form.
        "url": f"{caller.project.slug}.run.invalid",
        "anonymous_token": _anonymous(caller),
        "created_at": caller.project.created_at,
        "updated_at": updated_at,
    }


def _anonymous(caller: Caller) -> str:
    """Has the form of a token and opens nothing: the command line replaces it in what it copies."""
    digest = caller.keys.digest(f"anonymous visitors of {caller.project.prefix}")
    return str(new_token_uuid(caller.project.prefix, int.from_bytes(digest[:12])))


@router.put("/run", summary="Edit Run")
def edit_run(
    request: ApiRequest,
    values: dict[str, Any] = Body(...),  # noqa: B008 - ninja's way to name a body
) -> str:
    """Each key that is named takes the place of what it had."""
    caller = request.auth
    settings = {key: value for key, value in values.items() if key not in OURS}
    name = settings.pop("name", None)
    if name is not None and not isinstance(name, str):
        raise ApiError("name must be a text")
    caller.connection.execute(
        """INSERT INTO run_settings AS old (name, settings) VALUES (coalesce(%(name)s, ''), %(new)s)
           ON CONFLICT (singleton) DO UPDATE SET name = coalesce(%(name)s, old.name),
               settings = old.settings || %(new)s, updated_at = now()""",
        {"name": name, "new": Jsonb(settings)},
    )
    return "TagoIO Run Successfully Updated"
