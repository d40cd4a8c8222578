"""Receive files that clients upload in parts.

Parts wait in the project's own database, under a path that is neither listed nor readable, so that
any process of the API can receive the next one.
"""

import re
from urllib.parse import quote

from django.core.files.uploadedfile import UploadedFile
from psycopg import Connection

from backups_portal.lib.json_types import JsonObject
from backups_portal.projectdb import upload_parts
from backups_portal.projectdb.files import ANYTHING, WAITING
from backups_portal.projectdb.ids import new_resource_id
from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest
from backups_portal.tagoio_api.envelope import ApiError, NotFoundError
from backups_portal.ui.visible_names import is_seen

MAX_PATH = 1000
MAX_PARTS = 1000
MAX_BYTES = 500_000_000


def clean_path(value: object) -> str:
    """Check a file's path, and return it without a leading slash.

    Raises:
        ApiError: the path is empty, hidden, unsafe or too long.
    """
    path = value.strip("/") if isinstance(value, str) else ""
    hidden = path.startswith(WAITING) or not all(map(is_seen, filter(None, path.split("/"))))
    if not path or hidden or "\0" in path or len(path) > MAX_PATH or ".." in path.split("/"):
        raise ApiError(f"A file needs a path of at most {MAX_PATH} characters, without ..")
    return path


def upload_in_parts(
    request: ApiRequest, form: JsonObject, part: UploadedFile | None
) -> str | dict[str, str]:
    """Perform one step of an upload; a form's values are all text.

    Raises:
        ApiError: the step is unknown, or does not match the upload.
    """
    action = form.get("multipart_action")
    if action == "start":
        return _start(request, form)
    if action == "upload":
        return _part(request, form, part)
    if action == "end":
        return _end(request, form)
    raise ApiError("multipart_action is start, upload or end")


def _start(request: ApiRequest, form: JsonObject) -> str:
    upload_id = new_resource_id()
    with request.auth.connection.transaction():
        upload_parts.begin(
            request.auth.connection,
            upload_id,
            path=clean_path(form.get("filename")),
            content_type=str(form.get("contentType") or ANYTHING)[:200],
            public=_is_true(form.get("public")),
        )
    return upload_id


def _is_true(value: object) -> bool:
    return value is True or str(value).lower() == "true"


def _part(request: ApiRequest, form: JsonObject, part: UploadedFile | None) -> dict[str, str]:
    number = _number(str(form.get("part", "")))
    if part is None or not 1 <= number <= MAX_PARTS:
        raise ApiError(f"A part has a file and a number from 1 to {MAX_PARTS}")
    connection, content = request.auth.connection, part.read()
    with connection.transaction():
        upload_id = _held(connection, form, alone=False)
        return {"ETag": upload_parts.put_part(connection, upload_id, number, content)}


def _number(text: str) -> int:
    """Read a part's number; 0 if it is none."""
    # Python refuses to convert thousands of digits.
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _held(connection: Connection, form: JsonObject, *, alone: bool) -> str:
    """Return the id of an upload, which cannot end until the transaction does.

    Raises:
        NotFoundError: it has not begun, or has ended.
    """
    upload_id = str(form.get("upload_id", ""))
    if not re.fullmatch("[0-9a-f]{24}", upload_id) or not upload_parts.hold(
        connection, upload_id, alone=alone
    ):
        raise NotFoundError("Upload")
    return upload_id


def _end(request: ApiRequest, form: JsonObject) -> dict[str, str]:
    connection = request.auth.connection
    with connection.transaction():
        # Clients send this step again if they missed the answer.
        upload_id = _held(connection, form, alone=True)
        stored = upload_parts.parts_of(connection, upload_id)
        if _named(form.get("parts")) != {number: md5 for number, (md5, _) in stored.items()}:
            raise ApiError("The parts are not those that were uploaded")
        if sum(size for _, size in stored.values()) > MAX_BYTES:
            raise ApiError(f"A file has at most {MAX_BYTES / 1e6:g} MB")
        path = upload_parts.join(connection, upload_id)
        # An invalid Host header raises here, so that nothing is stored.
        shown = f"/file/{request.auth.project.profile_id}/{quote(path)}"
        return {"file": request.build_absolute_uri(shown)}


def _named(parts: object) -> dict[int, object]:
    """Read the MD5 of each part by number, as the client reports them."""
    found = parts if isinstance(parts, list) else []
    return {
        one["PartNumber"]: one.get("ETag")
        for one in found
        if isinstance(one, dict) and isinstance(one.get("PartNumber"), int)
    }
