"""Serve analyses: scripts that the portal keeps and that owners run."""

import gzip
from typing import Literal

from django.http import HttpResponse
from ninja import Router
from pydantic import BaseModel, Field

from backups_portal.projectdb.analyses import (
    create_analysis,
    newest_script,
    read_console,
    renew_token,
    token_of,
    upload_script,
)
from backups_portal.tagoio_api.auth.project_token_auth import (
    ApiRequest,
    Caller,
    borrow,
    profile,
    running_project,
)
from backups_portal.tagoio_api.envelope import ApiError, DeniedError, NotFoundError
from backups_portal.tagoio_api.files.signed_urls import check_asker, offer, read_path, sign_path
from backups_portal.tagoio_api.requests import query_strings
from backups_portal.tagoio_api.requests.json_bodies import Body, Named, changes_of, from_base64
from backups_portal.tagoio_api.resources.crud import Overrides, add_routes, folded, read_resource
from backups_portal.tagoio_api.resources.resource_kinds import Kind, Row
from backups_portal.tagoio_api.streams.events import publish

PURPOSE = "analysis script"
MAX_TEXT = 1000
NOT_HERE = (
    "Analyses are not run here: set this one to external, and run its script with a TagoIO SDK"
)

NOBODY_LISTENS = (
    "Nothing was run: no script is listening right now. Start the script, and try again"
)


class Variable(BaseModel):
    """An environment variable of an analysis."""

    key: str
    value: object = None


class NewAnalysis(Named):
    """An analysis; its script is uploaded separately."""

    description: str | None = Field(None, max_length=100_000)
    active: bool = True
    run_on: Literal["tago", "external"] = "tago"
    runtime: str = Field("node-rt2025", max_length=MAX_TEXT)
    interval: str = Field("never", max_length=MAX_TEXT)
    variables: list[Variable] = []


ChangedAnalysis = changes_of(
    NewAnalysis,
    "ChangedAnalysis",
    "The fields of an analysis to change; `variables` replaces all of them.",
    clearable=("description",),
)


class Script(Body):
    """A script in base64."""

    file: str
    file_name: str = Field("script.js", min_length=1, max_length=MAX_TEXT)
    language: str = Field("node", max_length=100)


ANALYSIS = Kind(title="Analysis", table="analysis", created="id", filters={"run_on": "text"})


def _create(caller: Caller, values: Row) -> Row:
    analysis_id, token = create_analysis(
        caller.connection,
        keys=caller.keys,
        permission=caller.token.permission,
        **folded(ANALYSIS, values),
    )
    return {"id": analysis_id, "token": token.value}


def read_analysis(caller: Caller, analysis_id: str) -> Row:
    """Read an analysis with its token and the last lines of its console.

    Raises:
        ApiError: the project has no such analysis.
    """
    shown = read_resource(caller, ANALYSIS, analysis_id)
    script = newest_script(caller.connection, analysis_id)
    return {
        **shown,
        "token": _token(caller, analysis_id),
        "console": read_console(caller.connection, analysis_id),
        "file_name": script.file_name if script else "",
        "version": script.version if script else 0,
    }


def _token(caller: Caller, analysis_id: str) -> str:
    """Return an analysis' token, or "" if it may do more than the caller."""
    found = token_of(caller.connection, analysis_id, keys=caller.keys)
    return found[0] if found and caller.covers(found[1]) else ""


router = Router(tags=["Analyses"])
add_routes(
    router,
    ANALYSIS,
    "/analysis",
    body=NewAnalysis,
    changes=ChangedAnalysis,
    overrides=Overrides(create=_create, read=read_analysis),
)
ONE = "/analysis/{analysis_id}"


@router.post(f"{ONE}/upload", auth=profile, summary="Upload the script of an Analysis")
def upload(request: ApiRequest, analysis_id: str, body: Script) -> str:
    """Store another version of the script; the newest one is in force."""
    read_resource(request.auth, ANALYSIS, analysis_id)
    content = from_base64(body.file, validate=True)
    upload_script(
        request.auth.connection,
        analysis_id=analysis_id,
        file_name=body.file_name,
        content=content,
        language=body.language,
    )
    return "Successfully Uploaded"


@router.get(f"{ONE}/download", auth=profile, summary="Get the address of an Analysis's script")
def download(request: ApiRequest, analysis_id: str, version: str = "") -> Row:
    """Return an address of the script as a gzip file, without a token."""
    read_resource(request.auth, ANALYSIS, analysis_id)
    number = query_strings.number(version or None, "version", default=0, most=2**31 - 1)
    script = newest_script(request.auth.connection, analysis_id, version=number or None)
    if script is None:
        raise NotFoundError("Script")
    caller = request.auth
    prefix, token_id = caller.project.prefix, caller.token.id
    claim = {"p": prefix, "a": analysis_id, "v": script.version, "t": token_id}
    path = f"/scripts/{sign_path(PURPOSE, claim)}"
    return offer(request, path, size=len(gzip.compress(script.content)))


@router.get("/scripts/{signed}", summary="Download the script of an Analysis")
def script_file(request: ApiRequest, signed: str) -> HttpResponse:
    """Send a gzip file, not a compressed answer: the command line unpacks it."""
    claim = read_path(PURPOSE, signed)
    connection = borrow(request, running_project(prefix=claim["p"]))
    check_asker(connection, claim)
    script = newest_script(connection, claim["a"], version=claim["v"])
    if script is None:
        raise NotFoundError("Script")
    response = HttpResponse(gzip.compress(script.content), content_type="application/gzip")
    response["Content-Disposition"] = 'attachment; filename="script.gz"'
    return response


class Scope(Body):
    """The data that a run receives."""

    scope: object = []


NOTHING = Scope()


@router.post(f"{ONE}/run", auth=profile, summary="Run an external Analysis")
def run(request: ApiRequest, analysis_id: str, body: Scope = NOTHING) -> Row:
    """Tell clients that listen with its token to run it, within a minute."""
    caller = request.auth
    analysis = read_resource(caller, ANALYSIS, analysis_id)
    if analysis["run_on"] != "external":
        raise ApiError(NOT_HERE)
    if not analysis["active"]:
        raise ApiError("The analysis is not active")
    found = token_of(caller.connection, analysis_id, keys=caller.keys)
    caller.connection.execute("UPDATE analysis SET last_run = now() WHERE id = %s", [analysis_id])
    has_reached = publish(
        caller.project.prefix,
        f"analysis_trigger.{analysis_id}",
        "analysis_trigger",
        {
            "analysis_id": analysis_id,
            "environment": analysis["variables"],
            "data": body.scope,
            "token": found[0] if found else "",
        },
    )
    if not has_reached:
        raise ApiError(NOBODY_LISTENS)
    return {"analysis_token": found[0] if found and caller.covers(found[1]) else ""}


@router.get(f"{ONE}/token", auth=profile, summary="Renew the token of an Analysis")
def new_token(request: ApiRequest, analysis_id: str) -> Row:
    """Make a new token; the old one stops working."""
    caller = request.auth
    read_resource(caller, ANALYSIS, analysis_id)
    # The new token has full permission.
    if not caller.covers("full"):
        raise DeniedError
    with caller.connection.transaction():
        return {"analysis_token": renew_token(caller.connection, analysis_id, keys=caller.keys)}
