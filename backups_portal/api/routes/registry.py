"""All routers of the other kinds of resources, in the order in which they are tried.

Fixed paths come before those with an id in the same place: `/run/users` and the console before
analyses by id.
"""

from ninja import Router

from backups_portal.api.routes import (
    access,
    accounts,
    actions,
    analyses,
    backups,
    connectors,
    console,
    dashboards,
    dictionaries,
    entities,
    entityrows,
    files,
    networks,
    profiles,
    profiletokens,
    run,
    runusers,
    secrets,
    stream,
    tags,
    widgets,
)

ROUTERS: tuple[Router, ...] = tuple(
    routes.router
    for routes in (
        *(accounts, profiletokens, backups, profiles),
        *(console, analyses, dashboards, widgets, actions, access, dictionaries),
        *(entities, entityrows, files, stream),
        *(run, runusers, secrets, networks, connectors, tags),
    )
)
