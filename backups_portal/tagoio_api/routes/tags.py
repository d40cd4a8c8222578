"""List the tag keys in use, for clients to choose from."""

from ninja import Router
from psycopg import sql

from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, profile
from backups_portal.tagoio_api.envelope import NotFoundError
from backups_portal.tagoio_api.resources.resource_list import elements

# Clients' names for the kinds of resources that have tags, and their tables.
TABLES = {
    "device": "device",
    "dashboard": "dashboard",
    "action": "action",
    "analysis": "analysis",
    "am": "access_rule",
    "access_management": "access_rule",
    "run_user": "run_user",
    "run_users": "run_user",
    "secrets": "secret",
    "entity": "entity",
    "network": "network",
    "connector": "connector",
}

router = Router(tags=["Tags"])


@router.get("/tags/keys/{kind}", auth=profile, summary="List the keys of tags in use")
def keys(request: ApiRequest, kind: str) -> list[str]:
    """List the keys of a kind of resources in alphabetical order."""
    if kind not in TABLES:
        raise NotFoundError("Kind of resource")
    statement = sql.SQL(
        "SELECT DISTINCT tag->>'key' FROM {}, {} AS tag WHERE tag->>'key' IS NOT NULL ORDER BY 1"
    ).format(sql.Identifier(TABLES[kind]), elements(sql.Identifier("tags")))
    return [str(row[0]) for row in request.auth.connection.execute(statement).fetchall()]
