"""Uploaded files of a project: listed by folder, moved, copied, opened by an address."""

import base64
import binascii
from typing import IO, Any

from django.http import FileResponse, HttpResponseBase
from ninja import Body, Router

from backups_portal.api import queries
from backups_portal.api.bodies import body_of
from backups_portal.api.borrowing import borrow, running_project
from backups_portal.api.envelope import ApiError, NotFoundError
from backups_portal.api.identity import (
    ApiRequest,
    find_project,
    presented,
    profile,
    profile_deletes,
)
from backups_portal.api.kinds import Row
from backups_portal.api.signed import address, read_path, sign_path
from backups_portal.api.uploads import clean_path, upload_in_parts
from backups_portal.projectdb import files
from backups_portal.projectdb.tokens import find_token
from backups_portal.projects.connections import keyring
from backups_portal.projects.models import Project

PURPOSE = "file"
MOST_LISTED = 10_000

router = Router(tags=["Files"])


@router.get("/files", auth=profile, summary="List files")
def list_files(request: ApiRequest) -> Row:
    """The files and the folders of one folder, `path`."""
    query = queries.parse_query(request.META["QUERY_STRING"])
    folder = (queries.text(query.get("path")) or "").strip("/")
    amount = queries.number(query.get("qty"), "qty", default=300, most=MOST_LISTED)
    after = queries.text(query.get("pagination_token")) or ""
    found = files.list_folder(request.auth.connection, folder, amount=amount, after=after)
    answer = {
        "files": [
            {
                "filename": one.path,
                "size": one.size,
                "last_modified": one.updated_at,
                "public": one.public,
            }
            for one in found.files
        ],
        "folders": found.folders,
        "total": found.total,
        "usage": found.bytes,
    }
    return {**answer, "pagination_token": found.more} if found.more else answer


@router.post("/files", auth=profile, summary="Upload files")
def upload(request: ApiRequest) -> Any:
    """A list of `{filename, file: base64, public}`, or one step of an upload in parts."""
    caller = request.auth
    if request.content_type == "multipart/form-data":
        return upload_in_parts(request, request.POST.dict(), request.FILES.get("file"))
    body = body_of(request)
    if isinstance(body, dict) and "multipart_action" in body:
        return upload_in_parts(request, body, None)
    if not isinstance(body, list):
        raise ApiError("Files are uploaded as a list")
    decoded = [_decoded(one) for one in body]
    with caller.connection.transaction():
        for one in decoded:
            files.put_file(caller.connection, **one)
    return f"{len(decoded)} file(s) uploaded"


def _decoded(one: Any) -> Row:
    if not isinstance(one, dict) or not isinstance(one.get("file"), str):
        raise ApiError("A file is {filename, file, public}")
    try:
        content = base64.b64decode(one["file"].partition("base64,")[2] or one["file"])
    except (binascii.Error, ValueError) as error:
        raise ApiError("file must be in base64") from error
    path = clean_path(one.get("filename"))
    return {"path": path, "content": content, "public": one.get("public") is True}


def _pairs(values: Any) -> list[tuple[str, str]]:
    if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
        raise ApiError("Name files as [{from, to}]")
    return [(clean_path(one.get("from")), clean_path(one.get("to"))) for one in values]


@router.put("/files/copy", auth=profile, summary="Copy files")
def copy(request: ApiRequest, values: Any = Body(...)) -> str:  # noqa: B008
    """One that has the new path is replaced."""
    pairs = _pairs(values)
    with request.auth.connection.transaction():
        for old, new in pairs:
            if not files.copy_file(request.auth.connection, old, new):
                raise NotFoundError("File")
    return "Files copied"


@router.put("/files", auth=profile, summary="Move files")
def move(request: ApiRequest, values: Any = Body(...)) -> str:  # noqa: B008
    """One that has the new path is replaced."""
    pairs = _pairs(values)
    with request.auth.connection.transaction():
        for old, new in pairs:
            if old != new and not files.copy_file(request.auth.connection, old, new):
                raise NotFoundError("File")
            if old != new:
                files.delete_files(request.auth.connection, [old])
    return "Files moved"


@router.delete("/files", auth=profile_deletes, summary="Delete files")
def delete(request: ApiRequest, values: Any = Body(...)) -> str:  # noqa: B008
    """By their paths; those that are not there are not missed."""
    if not isinstance(values, list):
        raise ApiError("Name the files in a list")
    files.delete_files(request.auth.connection, [clean_path(one) for one in values])
    return "Files removed"


@router.get("/files/permission", auth=profile, summary="Whether a file is public")
def read_permission(request: ApiRequest, file: str) -> Row:
    """Public files need no token."""
    found = files.find_file(request.auth.connection, clean_path(file))
    if found is None:
        raise NotFoundError("File")
    return {"public": found.public}


@router.put("/files/permission", auth=profile, summary="Make files public or not")
def change_permission(request: ApiRequest, values: Any = Body(...)) -> str:  # noqa: B008
    """`[{file, public}]`."""
    if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
        raise ApiError("Name files as [{file, public}]")
    with request.auth.connection.transaction():
        for one in values:
            path, public = clean_path(one.get("file")), one.get("public") is True
            if not files.set_public(request.auth.connection, path, public):
                raise NotFoundError("File")
    return "Files updated"


@router.get("/file/{profile_id}/{path:path}", summary="A file")
def read_file(request: ApiRequest, profile_id: str, path: str) -> HttpResponseBase | str:
    """Its content, for anybody where it is public; with `noRedirect`, an address or its MD5."""
    project = _project(request, profile_id)
    connection = borrow(request, project)
    found = files.find_file(connection, clean_path(path))
    if found is None:
        raise NotFoundError("File")
    token = find_token(connection, presented(request), keys=keyring())
    if not found.public and (token is None or token.kind == "device"):
        raise NotFoundError("File")
    if request.GET.get("md5", "").lower() in queries.TRUE:
        return found.md5
    if request.GET.get("noRedirect", "").lower() in queries.TRUE:
        claim = {"p": project.prefix, "f": found.path}
        return address(request, f"/shared/{sign_path(PURPOSE, claim)}")
    return _content(files.spool_file(connection, found.path), found)


def _project(request: ApiRequest, profile_id: str) -> Project:
    """The project with this profile id, whose token may be with the request."""
    project = find_project(presented(request))
    if project is not None and project.profile_id == profile_id:
        return project
    if len(profile_id) != 24 or not set(profile_id) <= set("0123456789abcdef"):
        raise NotFoundError("File")
    # A profile's id is the beginning of a project's.
    low, high = profile_id + "0" * 8, profile_id + "f" * 8
    return running_project(pk__gte=low, pk__lte=high)


@router.get("/shared/{signed}", summary="A file by an address that works for a while")
def shared_file(request: ApiRequest, signed: str) -> HttpResponseBase:
    """Without a token."""
    claim = read_path(PURPOSE, signed)
    connection = borrow(request, running_project(prefix=claim["p"]))
    found = files.find_file(connection, claim["f"])
    if found is None:
        raise NotFoundError("File")
    return _content(files.spool_file(connection, found.path), found)


def _content(content: IO[bytes], found: files.File) -> FileResponse:
    # Whatever a project's people uploaded: a browser that opens it runs nothing of it here.
    response = FileResponse(content, content_type=found.content_type)
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    return response
