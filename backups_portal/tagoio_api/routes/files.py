"""Serve a project's files: list, upload, move, copy, download."""

import re
from http import HTTPStatus
from mimetypes import guess_type

from django.http import FileResponse, HttpResponseBase
from ninja import Router
from psycopg import Connection

from backups_portal.projectdb import files
from backups_portal.projectdb.tokens import RIGHTS, find_token
from backups_portal.projects.database_dsn import keyring
from backups_portal.projects.models import Project
from backups_portal.tagoio_api.auth.project_token_auth import (
    ApiRequest,
    borrow,
    find_project,
    presented,
    profile,
    profile_deletes,
    running_project,
)
from backups_portal.tagoio_api.envelope import ApiError, DeniedError, NotFoundError
from backups_portal.tagoio_api.files.multipart_uploads import clean_path, upload_in_parts
from backups_portal.tagoio_api.files.shared_copies import FullError, open_copy
from backups_portal.tagoio_api.files.signed_urls import check_asker, read_path, sign_path
from backups_portal.tagoio_api.requests import query_strings
from backups_portal.tagoio_api.requests.json_bodies import SentJson, body_of, from_base64
from backups_portal.tagoio_api.resources.resource_kinds import Row
from backups_portal.ui.curl_examples import example

PURPOSE = "file"
PAIRS = [{"from": "plan.txt", "to": "plans/plan.txt"}]
MAX_LISTED = 10_000
MANY = "Too many large files are being downloaded: try again in a few minutes"
# Images that browsers may show inline; SVG is missing because it can contain scripts. All other
# files are sent as attachments.
SHOWN = frozenset(f"image/{kind}" for kind in ("avif", "bmp", "gif", "jpeg", "png", "webp"))
MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(?:; ?charset=[\w-]+)?", re.ASCII)

router = Router(tags=["Files"])


@router.get("/files", auth=profile, summary="List files")
def list_files(request: ApiRequest) -> Row:
    """List the files and folders of one folder, `path`."""
    query = query_strings.query_of(request)
    folder = (query_strings.text(query.get("path")) or "").strip("/")
    amount = query_strings.number(query.get("qty"), "qty", default=300, most=MAX_LISTED)
    after = query_strings.text(query.get("pagination_token")) or ""
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


@router.post(
    "/files",
    auth=profile,
    summary="Upload files",
    openapi_extra=example([{"filename": "plan.txt", "file": "aGVsbG8=", "public": False}]),
)
def upload(request: ApiRequest) -> object:
    """Store `{filename, file: base64, public}` each, or a step of an upload."""
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


def _decoded(one: object) -> Row:
    if not isinstance(one, dict) or not isinstance(one.get("file"), str):
        raise ApiError("A file is {filename, file, public}")
    content = from_base64(one["file"].partition("base64,")[2] or one["file"])
    path = clean_path(one.get("filename"))
    return {"path": path, "content": content, "public": one.get("public") is True}


def _named(values: object, form: str) -> list[Row]:
    if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
        raise ApiError(f"Name files as [{form}]")
    return values


def _pairs(values: object) -> list[tuple[str, str]]:
    named = _named(values, "{from, to}")
    return [(clean_path(one.get("from")), clean_path(one.get("to"))) for one in named]


@router.put("/files/copy", auth=profile, summary="Copy files", openapi_extra=example(PAIRS))
def copy(request: ApiRequest, values: SentJson) -> str:
    """Replace files that have the new paths."""
    pairs = _pairs(values)
    with request.auth.connection.transaction():
        for old, new in pairs:
            if not files.copy_file(request.auth.connection, old, new):
                raise NotFoundError("File")
    return "Files copied"


@router.put("/files", auth=profile, summary="Move files", openapi_extra=example(PAIRS))
def move(request: ApiRequest, values: SentJson) -> str:
    """Replace files that have the new paths."""
    pairs = _pairs(values)
    with request.auth.connection.transaction():
        for old, new in pairs:
            if old != new and not files.copy_file(request.auth.connection, old, new):
                raise NotFoundError("File")
            if old != new:
                files.delete_files(request.auth.connection, [old])
    return "Files moved"


@router.delete(
    "/files", auth=profile_deletes, summary="Delete files", openapi_extra=example(["plan.txt"])
)
def delete(request: ApiRequest, values: SentJson) -> str:
    """Delete files by their paths, if they are there."""
    if not isinstance(values, list):
        raise ApiError("Name the files in a list")
    files.delete_files(request.auth.connection, [clean_path(one) for one in values])
    return "Files removed"


@router.get("/files/permission", auth=profile, summary="Check whether a file is public")
def read_permission(request: ApiRequest, file: str) -> Row:
    """Tell whether a file is public: it needs no token then."""
    found = files.find_file(request.auth.connection, clean_path(file))
    if found is None:
        raise NotFoundError("File")
    return {"public": found.public}


@router.put(
    "/files/permission",
    auth=profile,
    summary="Make files public or private",
    openapi_extra=example([{"file": "plan.txt", "public": True}]),
)
def change_permission(request: ApiRequest, values: SentJson) -> str:
    """Make files public or not by `[{file, public}]`."""
    named = _named(values, "{file, public}")
    # A public file can be read by anybody, so publishing one needs the right to read.
    if any(one.get("public") is True for one in named) and not request.auth.may("read"):
        raise DeniedError
    with request.auth.connection.transaction():
        for one in named:
            path, public = clean_path(one.get("file")), one.get("public") is True
            if not files.set_public(request.auth.connection, path, public):
                raise NotFoundError("File")
    return "Files updated"


@router.get("/file/{profile_id}/{path:path}", summary="Read a file")
def read_file(request: ApiRequest, profile_id: str, path: str) -> HttpResponseBase | str:
    """Send a file, without a token if it is public; or its address, or MD5."""
    project = _project(request, profile_id)
    connection = borrow(request, project)
    found = files.find_file(connection, clean_path(path))
    if found is None:
        raise NotFoundError("File")
    reader = _reader(connection, presented(request))
    if not found.public and reader is None:
        raise NotFoundError("File")
    if request.GET.get("md5", "").lower() in query_strings.TRUE:
        return found.md5
    if request.GET.get("noRedirect", "").lower() in query_strings.TRUE:
        claim = {"p": project.prefix, "f": found.path, "t": reader}
        return request.build_absolute_uri(f"/shared/{sign_path(PURPOSE, claim)}")
    return _content(connection, project, found)


def _reader(connection: Connection, value: str) -> str | None:
    """Return the id of a token if it may read private files."""
    token = find_token(connection, value, keys=keyring())
    opens = token is not None and token.kind != "device" and "read" in RIGHTS[token.permission]
    return token.id if token and opens else None


def _type_of(found: files.File) -> str:
    """Return the media type that the uploader stated, else one by file name."""
    stated = found.content_type
    if stated == files.ANYTHING or not MEDIA_TYPE.fullmatch(stated):
        stated = guess_type(found.path)[0] or files.ANYTHING
    return stated.partition(";")[0].strip().lower()


def _project(request: ApiRequest, profile_id: str) -> Project:
    """Find the project of a profile id, preferably by the request's token."""
    project = find_project(presented(request))
    if project is not None and project.profile_id == profile_id:
        return project
    if len(profile_id) != 24 or not set(profile_id) <= set("0123456789abcdef"):
        raise NotFoundError("File")
    # A profile id is the first 24 digits of a project id.
    low, high = profile_id + "0" * 8, profile_id + "f" * 8
    return running_project(pk__gte=low, pk__lte=high)


@router.get("/shared/{signed}", summary="Read a file by a temporary address")
def shared_file(request: ApiRequest, signed: str) -> HttpResponseBase:
    """Send a file without a token."""
    claim = read_path(PURPOSE, signed)
    project = running_project(prefix=claim["p"])
    connection = borrow(request, project)
    found = files.find_file(connection, claim["f"])
    if found is None:
        raise NotFoundError("File")
    if not found.public:
        check_asker(connection, claim)
    return _content(connection, project, found)


def _content(connection: Connection, project: Project, found: files.File) -> FileResponse:
    try:
        content = open_copy(connection, project.prefix, found)
    except FullError as error:
        raise ApiError(MANY, HTTPStatus.SERVICE_UNAVAILABLE) from error
    # Uploads are untrusted: a browser that opens one must not run its scripts in this origin.
    shown = _type_of(found)
    response = FileResponse(
        content,
        content_type=shown,
        as_attachment=shown not in SHOWN,
        filename=found.path.rpartition("/")[2],
    )
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    return response
