"""The keys of tags that are in use, for clients that offer them to choose from."""

from ninja import Router
from psycopg import sql

from backups_portal.api.envelope import NotFoundError
from backups_portal.api.identity import ApiRequest, profile

# What clients call the kinds of resources that have tags.
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


@router.get("/tags/keys/{kind}", auth=profile, summary="Keys of tags in use")
def keys(request: ApiRequest, kind: str) -> list[str]:
    """Of the resources of a kind, in alphabetical order."""
    if kind not in TABLES:
        raise NotFoundError("Kind of resource")
    statement = sql.SQL(
        "SELECT DISTINCT tag->>'key' FROM {}, jsonb_array_elements(tags) AS tag ORDER BY 1"
    ).format(sql.Identifier(TABLES[kind]))
    return [str(row[0]) for row in request.auth.connection.execute(statement).fetchall()]
