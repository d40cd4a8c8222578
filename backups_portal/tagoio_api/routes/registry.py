"""The routers of all other routes, in matching order.

Fixed paths come before those with an id in the same place: `/run/users` and the console before
analyses by id.
"""

from ninja import Router

from backups_portal.tagoio_api.routes import (
    accounts,
    analyses,
    analysis_services,
    backups,
    console,
    dictionaries,
    entities,
    entity_rows,
    files,
    plain_kinds,
    profile_tokens,
    profiles,
    run,
    run_users,
    secrets,
    stream,
    tags,
    widgets,
)

ROUTERS: tuple[Router, ...] = (
    *(routes.router for routes in (accounts, profile_tokens, backups, profiles)),
    *(routes.router for routes in (console, analysis_services, analyses)),
    *plain_kinds.ROUTERS,
    *(routes.router for routes in (widgets, dictionaries, entities, entity_rows, files, stream)),
    *(routes.router for routes in (run, run_users, secrets, tags)),
)
