"""Analyses: scripts of a project. The portal keeps and hands them out; owners run them."""

import base64
import binascii
import gzip
from http import HTTPStatus
from typing import Any, Literal

from django.http import HttpResponse
from ninja import Router
from pydantic import BaseModel, Field

from backups_portal.api import queries
from backups_portal.api.bodies import Body, Named, Renamed
from backups_portal.api.borrowing import borrow, running_project
from backups_portal.api.crud import Doing, add_routes, folded, read_resource
from backups_portal.api.envelope import ApiError, NotFoundError
from backups_portal.api.events import publish
from backups_portal.api.identity import ApiRequest, Caller, profile
from backups_portal.api.kinds import Kind, Row
from backups_portal.api.signed import address, expiry, in_units, read_path, sign_path
from backups_portal.projectdb.analyses import (
    create_analysis,
    newest_script,
    read_console,
    renew_token,
    token_of,
    upload_script,
)

PURPOSE = "analysis script"
LONGEST = 1000
NOT_HERE = (
    "Analyses are not run here: set this one to external, and run its script with a TagoIO SDK"
)


class Variable(BaseModel):
    """One of the variables of an analysis' environment."""

    key: str
    value: Any = None


class NewAnalysis(Named):
    """An analysis; its script is uploaded apart."""

    description: str | None = Field(None, max_length=100_000)
    active: bool = True
    run_on: Literal["tago", "external"] = "tago"
    runtime: str = Field("node-rt2025", max_length=LONGEST)
    interval: str = Field("never", max_length=LONGEST)
    variables: list[Variable] = []


class ChangedAnalysis(Renamed):
    """What of an analysis is edited; `variables` replaces all of them."""

    clearable = frozenset({"description"})
    description: str | None = Field(None, max_length=100_000)
    active: bool | None = None
    run_on: Literal["tago", "external"] | None = None
    runtime: str | None = Field(None, max_length=LONGEST)
    interval: str | None = Field(None, max_length=LONGEST)
    variables: list[Variable] | None = None


class Script(Body):
    """A script in base64."""

    file: str
    file_name: str = Field("script.js", min_length=1, max_length=LONGEST)
    language: str = Field("node", max_length=100)


ANALYSIS = Kind(title="Analysis", table="analysis", created="id", filters={"run_on": "text"})


def _create(caller: Caller, values: Row) -> Row:
    analysis_id, token = create_analysis(
        caller.connection, keys=caller.keys, **folded(ANALYSIS, values)
    )
    return {"id": analysis_id, "token": token.value}


def read_analysis(caller: Caller, analysis_id: str) -> Row:
    """All of an analysis, with its token and the last lines of its console.

    Raises:
        NotFoundError: the project has none with this id.
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
    # It may do everything, so that only those are shown it who may do everything too.
    if caller.token.permission != "full":
        return ""
    return token_of(caller.connection, analysis_id, keys=caller.keys)


router = Router(tags=["Analyses"])
add_routes(
    router,
    ANALYSIS,
    "/analysis",
    body=NewAnalysis,
    changes=ChangedAnalysis,
    doing=Doing(create=_create, read=read_analysis),
)
ONE = "/analysis/{analysis_id}"


@router.post(f"{ONE}/upload", auth=profile, summary="Upload the script of an Analysis")
def upload(request: ApiRequest, analysis_id: str, body: Script) -> str:
    """Each upload is another version; the newest one is in force."""
    read_resource(request.auth, ANALYSIS, analysis_id)
    try:
        content = base64.b64decode(body.file, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError("file must be in base64") from error
    upload_script(
        request.auth.connection,
        analysis_id=analysis_id,
        file_name=body.file_name,
        content=content,
        language=body.language,
    )
    return "Successfully Uploaded"


@router.get(f"{ONE}/download", auth=profile, summary="Where the script of an Analysis is")
def download(request: ApiRequest, analysis_id: str, version: str = "") -> Row:
    """An address that works without a token, of the script as a gzip file."""
    read_resource(request.auth, ANALYSIS, analysis_id)
    number = queries.number(version or None, "version", default=0, most=2**31 - 1)
    script = newest_script(request.auth.connection, analysis_id, version=number or None)
    if script is None:
        raise NotFoundError("Script")
    claim = {"p": request.auth.project.prefix, "a": analysis_id, "v": script.version}
    size, unit = in_units(len(gzip.compress(script.content)))
    return {
        "url": address(request, f"/scripts/{sign_path(PURPOSE, claim)}"),
        "size": size,
        "size_unit": unit,
        "expire_at": expiry(),
    }


@router.get("/scripts/{signed}", summary="The script of an Analysis")
def script_file(request: ApiRequest, signed: str) -> HttpResponse:
    """A gzip file, not a compressed answer: the command line unpacks the bytes that it gets."""
    claim = read_path(PURPOSE, signed)
    project = running_project(prefix=claim["p"])
    script = newest_script(borrow(request, project), claim["a"], version=claim["v"])
    if script is None:
        raise NotFoundError("Script")
    response = HttpResponse(gzip.compress(script.content), content_type="application/gzip")
    response["Content-Disposition"] = 'attachment; filename="script.gz"'
    return response


class Scope(Body):
    """What a run is given to work on."""

    scope: Any = []


NOTHING = Scope()


@router.post(f"{ONE}/run", auth=profile, summary="Run an external Analysis")
def run(request: ApiRequest, analysis_id: str, body: Scope = NOTHING) -> Row:
    """Whoever listens with the analysis' token is told to run it."""
    caller = request.auth
    analysis = read_resource(caller, ANALYSIS, analysis_id)
    if analysis["run_on"] != "external":
        raise ApiError(NOT_HERE)
    if not analysis["active"]:
        raise ApiError("The analysis is not active")
    token = token_of(caller.connection, analysis_id, keys=caller.keys)
    caller.connection.execute("UPDATE analysis SET last_run = now() WHERE id = %s", [analysis_id])
    publish(
        caller.project.prefix,
        f"analysis_trigger.{analysis_id}",
        "analysis_trigger",
        {
            "analysis_id": analysis_id,
            "environment": analysis["variables"],
            "data": body.scope,
            "token": token,
        },
    )
    return {"analysis_token": token if caller.token.permission == "full" else ""}


@router.get(f"{ONE}/token", auth=profile, summary="A new token of an Analysis")
def new_token(request: ApiRequest, analysis_id: str) -> Row:
    """The one that it had stops working."""
    caller = request.auth
    read_resource(caller, ANALYSIS, analysis_id)
    if caller.token.permission != "full":
        raise ApiError("Authorization Denied", HTTPStatus.UNAUTHORIZED)
    with caller.connection.transaction():
        return {"analysis_token": renew_token(caller.connection, analysis_id, keys=caller.keys)}
