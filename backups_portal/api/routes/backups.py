"""Backups of a project as the TagoIO command line asks for them: its snapshots."""

import uuid
from http import HTTPStatus

from django.http import StreamingHttpResponse
from ninja import Router
from pydantic import Field

from backups_portal.accounts.models import Account
from backups_portal.api import queries
from backups_portal.api.bodies import Body
from backups_portal.api.borrowing import running_project
from backups_portal.api.envelope import ApiError, BusyError, NotFoundError
from backups_portal.api.identity import ApiRequest, Caller, profile
from backups_portal.api.kinds import Row
from backups_portal.api.listing import DEFAULT_AMOUNT, MAX_AMOUNT, MAX_PAGE
from backups_portal.api.openapi import LIST
from backups_portal.api.people import check_code, owners
from backups_portal.api.routes.profiles import own
from backups_portal.api.signed import LIFETIME, address, expiry, in_units, read_path, sign_path
from backups_portal.audit.services import address_of
from backups_portal.lib.throttle import Limit
from backups_portal.projects.access import REFUSAL
from snapshots.downloading import check_download, fetch_download
from snapshots.errors import DownloadRefusedError, TooManyTriesError, WrongPasswordError
from snapshots.models import Snapshot
from snapshots.schedule import NOT_BY_HAND

PURPOSE = "backup"
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
    """The password of an owner of the project: a token alone does not carry all data away."""

    password: str = Field(max_length=4096)
    otp_type: str = Field("", max_length=100)
    pin_code: str = Field("", max_length=100)


def _snapshots_of(caller: Caller, profile_id: str) -> list[Snapshot]:
    """The project's snapshots, newest first, for the owner's profile tokens alone.

    Raises:
        ApiError: it is another kind of token.
        NotFoundError: the profile is not the token's.
    """
    if caller.token.kind != "profile":
        raise ApiError(REFUSAL, HTTPStatus.FORBIDDEN)
    own(caller, profile_id)
    return list(Snapshot.objects.filter(project=caller.project).listed())


def _key(snapshot: Snapshot) -> str:
    """24 hex digits for a snapshot."""
    return snapshot.pk.hex[:24]


@router.get(ALL, auth=profile, summary="List Backups", openapi_extra=LIST)
def list_backups(request: ApiRequest, profile_id: str) -> list[Row]:
    """Every snapshot that has not expired, newest first unless the oldest are asked for."""
    query = queries.parse_query(request.META["QUERY_STRING"])
    amount = queries.number(query.get("amount"), "amount", default=DEFAULT_AMOUNT, most=MAX_AMOUNT)
    page = max(1, queries.number(query.get("page"), "page", default=1, most=MAX_PAGE))
    found = _snapshots_of(request.auth, profile_id)
    if (queries.text(query.get("orderBy")) or "").endswith(",asc"):
        found.reverse()
    return [_shown(one) for one in found[(page - 1) * amount : page * amount]]


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
    """Refused: backups are created on the daily schedule."""
    _snapshots_of(request.auth, profile_id)
    raise ApiError(NOT_BY_HAND)


@router.post(ALL + "/{backup_id}/download", auth=profile, summary="Where a Backup is")
def download_backup(request: ApiRequest, profile_id: str, backup_id: str, body: Proof) -> Row:
    """An address that works without a token, of the backup as a ZIP."""
    found = [one for one in _snapshots_of(request.auth, profile_id) if _key(one) == backup_id]
    if not found:
        raise NotFoundError("Backup")
    snapshot = found[0]
    actor = _prove(request, snapshot, body)
    size, unit = in_units(snapshot.stored_bytes or 0)
    claim = {"s": snapshot.pk.hex, "a": actor.pk}
    return {
        "url": address(request, f"/backups/{sign_path(PURPOSE, claim)}"),
        "size": size,
        "size_unit": unit,
        "file_size_mb": f"{(snapshot.stored_bytes or 0) / 2**20:.2f}",
        "expire_at": expiry(),
        "backup_id": backup_id,
        "created_at": snapshot.taken_at or snapshot.scheduled_for,
    }


def _prove(request: ApiRequest, snapshot: Snapshot, proof: Proof) -> Account:
    snapshot.project = request.auth.project
    try:
        actor = check_download(
            snapshot=snapshot,
            owners=owners(request.auth.project),
            password=proof.password,
            address=address_of(request),
        )
    except WrongPasswordError as error:
        raise ApiError("Invalid password", HTTPStatus.UNAUTHORIZED) from error
    except TooManyTriesError as error:
        raise BusyError(error.seconds) from error
    except DownloadRefusedError as error:
        raise ApiError(str(error), HTTPStatus.CONFLICT) from error
    check_code(request, actor, proof.pin_code)
    return actor


@router.get("/backups/{signed}", summary="A Backup as a ZIP")
def backup_file(request: ApiRequest, signed: str) -> StreamingHttpResponse:
    """Streamed, once; each part is checked before it is sent."""
    claim = read_path(PURPOSE, signed)
    snapshot = Snapshot.objects.filter(pk=uuid.UUID(claim["s"])).first()
    if snapshot is None:
        raise NotFoundError("Backup")
    snapshot.project = running_project(pk=snapshot.project_id)
    actor = next((one for one in owners(snapshot.project) if one.pk == claim["a"]), None)
    if actor is None:
        raise ApiError(REFUSAL, HTTPStatus.FORBIDDEN)
    # A client fetches at once and once; whoever finds the address later does not.
    if OPENED.take(signed):
        raise ApiError("This address was used: ask for a new one", HTTPStatus.GONE)
    try:
        download = fetch_download(snapshot=snapshot, actor=actor, address=address_of(request))
    except DownloadRefusedError as error:
        raise ApiError(str(error), HTTPStatus.CONFLICT) from error
    response = StreamingHttpResponse(download.pieces, content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{download.file_name}"'
    response["Cache-Control"] = "no-store"
    return response
