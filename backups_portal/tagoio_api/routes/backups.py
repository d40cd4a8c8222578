"""Serve a project's snapshots as the backups of the TagoIO command line."""

import uuid
from http import HTTPStatus

from django.conf import settings
from django.http import StreamingHttpResponse
from ninja import Router
from pydantic import Field

from backups_portal.accounts.models import Account
from backups_portal.lib.limits import Limit
from backups_portal.projectdb.tokens import hold_token
from backups_portal.projects.access import REFUSAL
from backups_portal.projects.due_times import NOT_BY_HAND
from backups_portal.projects.models import Project
from backups_portal.tagoio_api.auth.account_auth import check_code, owners
from backups_portal.tagoio_api.auth.project_token_auth import (
    ApiRequest,
    Caller,
    borrow,
    profile,
    running_project,
)
from backups_portal.tagoio_api.envelope import ApiError, BusyError, NotFoundError
from backups_portal.tagoio_api.files.signed_urls import LIFETIME, offer, read_path, sign_path
from backups_portal.tagoio_api.openapi import LIST
from backups_portal.tagoio_api.requests import query_strings
from backups_portal.tagoio_api.requests.json_bodies import Body
from backups_portal.tagoio_api.resources.resource_kinds import Row
from backups_portal.tagoio_api.routes.profiles import check_own
from snapshots.archive_download import check_download, fetch_download
from snapshots.errors import DownloadRefusedError, TooManyTriesError, WrongPasswordError
from snapshots.models import Snapshot

PURPOSE = "backup"
PASSWORDS_OFF = "Passwords are turned off: download the backup at the portal"
OPENED = Limit("backup-opened", 1, int(LIFETIME.total_seconds()))
STATES = {
    Snapshot.State.QUEUED: "queued",
    Snapshot.State.RUNNING: "processing",
    Snapshot.State.COMPLETED: "completed",
    Snapshot.State.FAILED: "failed",
}

router = Router(tags=["Backups"])
ALL = "/profile/{profile_id}/backup"


class Proof(Body):
    """The password of an owner: a token alone is not enough to download everything."""

    password: str = Field(max_length=4096)
    otp_type: str = Field("", max_length=100)
    pin_code: str = Field("", max_length=100)


def _snapshots_of(caller: Caller, profile_id: str) -> list[Snapshot]:
    """List the project's snapshots, newest first, for profile tokens only.

    Raises:
        ApiError: the token is not a profile token.
        NotFoundError: the token belongs to another profile.
    """
    if caller.token.kind != "profile":
        raise ApiError(REFUSAL, HTTPStatus.FORBIDDEN)
    check_own(caller, profile_id)
    return list(Snapshot.objects.filter(project=caller.project).listed())


def _key(snapshot: Snapshot) -> str:
    """Shorten a snapshot's id to 24 hex digits."""
    return snapshot.pk.hex[:24]


@router.get(ALL, auth=profile, summary="List Backups", openapi_extra=LIST)
def list_backups(request: ApiRequest, profile_id: str) -> list[Row]:
    """List the snapshots that have not expired, newest first unless asked."""
    query = query_strings.query_of(request)
    amount, skipped = query_strings.page(query)
    found = _snapshots_of(request.auth, profile_id)
    if (query_strings.text(query.get("orderBy")) or "").endswith(",asc"):
        found.reverse()
    return [_shown(one) for one in found[skipped : skipped + amount]]


def _shown(snapshot: Snapshot) -> Row:
    row = {
        "id": _key(snapshot),
        "status": STATES[Snapshot.State(snapshot.state)],
        "created_at": snapshot.taken_at or snapshot.scheduled_for,
        "file_size": snapshot.stored_bytes or 0,
    }
    return {**row, "error_message": snapshot.reason} if snapshot.reason else row


@router.post(ALL, auth=profile, summary="Create Backup")
def create_backup(request: ApiRequest, profile_id: str) -> str:
    """Refuse: backups are created on the daily schedule."""
    _snapshots_of(request.auth, profile_id)
    raise ApiError(NOT_BY_HAND)


@router.post(ALL + "/{backup_id}/download", auth=profile, summary="Get the address of a Backup")
def download_backup(request: ApiRequest, profile_id: str, backup_id: str, body: Proof) -> Row:
    """Return an address of the backup as a ZIP, without a token."""
    found = [one for one in _snapshots_of(request.auth, profile_id) if _key(one) == backup_id]
    if not found:
        raise NotFoundError("Backup")
    snapshot = found[0]
    actor = _prove(request, snapshot, body)
    size = snapshot.stored_bytes or 0
    claim = {"s": snapshot.pk.hex, "a": actor.pk, "t": request.auth.token.id}
    return {
        **offer(request, f"/backups/{sign_path(PURPOSE, claim)}", size=size),
        "file_size_mb": f"{size / 2**20:.2f}",
        "backup_id": backup_id,
        "created_at": snapshot.taken_at or snapshot.scheduled_for,
    }


def _prove(request: ApiRequest, snapshot: Snapshot, proof: Proof) -> Account:
    if not settings.PASSWORD_SIGN_IN:
        raise ApiError(PASSWORDS_OFF, HTTPStatus.FORBIDDEN)
    snapshot.project = request.auth.project
    try:
        actor = check_download(
            snapshot=snapshot, owners=owners(request.auth.project), password=proof.password
        )
    except WrongPasswordError as error:
        raise ApiError("Invalid password", HTTPStatus.UNAUTHORIZED) from error
    except TooManyTriesError as error:
        raise BusyError(error.seconds) from error
    except DownloadRefusedError as error:
        raise ApiError(str(error), HTTPStatus.CONFLICT) from error
    check_code(request, actor, proof.pin_code)
    return actor


def _still_lets(request: ApiRequest, project: Project, token_id: str | None) -> bool:
    """Tell whether the token for which an address was signed still exists."""
    return token_id is None or hold_token(borrow(request, project), token_id) is not None


@router.get("/backups/{signed}", summary="Download a Backup as a ZIP")
def backup_file(request: ApiRequest, signed: str) -> StreamingHttpResponse:
    """Stream the backup once; each part is checked before it is sent."""
    claim = read_path(PURPOSE, signed)
    snapshot = Snapshot.objects.filter(pk=uuid.UUID(claim["s"])).first()
    if snapshot is None:
        raise NotFoundError("Backup")
    snapshot.project = running_project(pk=snapshot.project_id)
    actor = next((one for one in owners(snapshot.project) if one.pk == claim["a"]), None)
    if actor is None or not _still_lets(request, snapshot.project, claim.get("t")):
        raise ApiError(REFUSAL, HTTPStatus.FORBIDDEN)
    # Clients fetch an address once, so a second use can only be by somebody who found it.
    if OPENED.take(signed):
        raise ApiError("This address was used: ask for a new one", HTTPStatus.GONE)
    try:
        download = fetch_download(snapshot=snapshot, actor=actor)
    except DownloadRefusedError as error:
        raise ApiError(str(error), HTTPStatus.CONFLICT) from error
    response = StreamingHttpResponse(download.pieces, content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{download.file_name}"'
    response["Cache-Control"] = "no-store"
    return response
