"""The routers of all routes, in matching order.

Fixed paths come before those with an id in the same place: `/device/params` and `/device/token`
before devices by id, and the services of analyses before analyses by id.
"""

from ninja import Router

from backups_portal.tagoio_api.routes import (
    accounts,
    analyses,
    analysis_services,
    backups,
    chunks,
    csv_files,
    data,
    device_tokens,
    devices,
    dictionaries,
    entities,
    entity_rows,
    files,
    parameters,
    plain_kinds,
    profile_tokens,
    profiles,
    run,
    run_users,
    secrets,
    stream,
    tags,
    token_info,
    widgets,
)

ROUTERS: tuple[Router, ...] = (
    *(routes.router for routes in (token_info, parameters, device_tokens, data)),
    *(routes.router for routes in (csv_files, chunks, devices)),
    *(routes.router for routes in (accounts, profile_tokens, backups, profiles)),
    *(routes.router for routes in (analysis_services, analyses)),
    *plain_kinds.ROUTERS,
    *(routes.router for routes in (widgets, dictionaries, entities, entity_rows, files, stream)),
    *(routes.router for routes in (run, run_users, secrets, tags)),
)
