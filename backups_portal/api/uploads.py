"""Files that clients upload in parts: begun, sent part by part, put together.

Parts wait in the project's own database, under a path that no list shows and nobody can read,
so that any process of the API can take the next one.
"""

import re
from typing import Any
from urllib.parse import quote

from django.core.files.uploadedfile import UploadedFile

from backups_portal.api.envelope import ApiError, NotFoundError
from backups_portal.api.identity import ApiRequest
from backups_portal.api.signed import address
from backups_portal.projectdb import fileparts
from backups_portal.projectdb.files import ANYTHING, WAITING
from backups_portal.projectdb.ids import new_resource_id

LONGEST_PATH = 1000
MOST_PARTS = 1000
MOST_BYTES = 500_000_000


def clean_path(value: Any) -> str:
    """A file's path without a leading slash.

    Raises:
        ApiError: it is none.
    """
    path = value.strip("/") if isinstance(value, str) else ""
    hidden = path.startswith(WAITING)
    if not path or hidden or "\0" in path or len(path) > LONGEST_PATH or ".." in path.split("/"):
        raise ApiError(f"A file needs a path of at most {LONGEST_PATH} characters, without ..")
    return path


def upload_in_parts(
    request: ApiRequest, form: dict[str, Any], part: UploadedFile | None
) -> str | dict[str, str]:
    """One step of an upload; a form's values are all text.

    Raises:
        ApiError: it is no step, or it does not fit what was begun.
    """
    action = form.get("multipart_action")
    if action == "start":
        return _start(request, form)
    if action == "upload":
        return _part(request, form, part)
    if action == "end":
        return _end(request, form)
    raise ApiError("multipart_action is start, upload or end")


def _start(request: ApiRequest, form: dict[str, Any]) -> str:
    upload_id = new_resource_id()
    with request.auth.connection.transaction():
        fileparts.begin(
            request.auth.connection,
            upload_id,
            path=clean_path(form.get("filename")),
            content_type=str(form.get("contentType") or ANYTHING)[:200],
            public=_is_true(form.get("public")),
        )
    return upload_id


def _is_true(value: Any) -> bool:
    return value is True or str(value).lower() == "true"


def _part(request: ApiRequest, form: dict[str, Any], part: UploadedFile | None) -> dict[str, str]:
    number = str(form.get("part", ""))
    if part is None or not (number.isdecimal() and 1 <= int(number) <= MOST_PARTS):
        raise ApiError(f"A part has a file and a number from 1 to {MOST_PARTS}")
    upload_id = _begun(request, form)
    content = part.read()
    return {"ETag": fileparts.put_part(request.auth.connection, upload_id, int(number), content)}


def _begun(request: ApiRequest, form: dict[str, Any]) -> str:
    upload_id = str(form.get("upload_id", ""))
    if not re.fullmatch("[0-9a-f]{24}", upload_id) or not fileparts.has_begun(
        request.auth.connection, upload_id
    ):
        raise NotFoundError("Upload")
    return upload_id


def _end(request: ApiRequest, form: dict[str, Any]) -> dict[str, str]:
    connection = request.auth.connection
    upload_id = _begun(request, form)
    with connection.transaction():
        stored = fileparts.parts_of(connection, upload_id)
        if _named(form.get("parts")) != {number: md5 for number, (md5, _) in stored.items()}:
            raise ApiError("The parts are not those that were uploaded")
        if sum(size for _, size in stored.values()) > MOST_BYTES:
            raise ApiError(f"A file has at most {MOST_BYTES / 1e6:g} MB")
        path = fileparts.join(connection, upload_id)
    return {"file": address(request, f"/file/{request.auth.project.profile_id}/{quote(path)}")}


def _named(parts: Any) -> dict[Any, Any]:
    """The MD5 of each part by number, as the client has them."""
    found = parts if isinstance(parts, list) else []
    return {
        one["PartNumber"]: one.get("ETag")
        for one in found
        if isinstance(one, dict) and isinstance(one.get("PartNumber"), int)
    }
