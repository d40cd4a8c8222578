"""Writing uploaded files, and files attached to records."""

import hashlib
from typing import Any

from psycopg import Connection

from backups_portal.projectdb.ids import new_resource_id
from backups_portal.projectdb.resources import insert


def put_file(
    connection: Connection[Any],
    *,
    path: str,
    content: bytes,
    content_type: str = "application/octet-stream",
    public: bool = False,
) -> None:
    """Store an uploaded file; one of the same path is replaced."""
    connection.execute(
        """INSERT INTO file (path, content_type, size, md5, public, content)
           VALUES (%s, %s, %s, %s, %s, %s)
           ON CONFLICT (path) DO UPDATE SET content_type = excluded.content_type,
               size = excluded.size, md5 = excluded.md5, public = excluded.public,
               content = excluded.content, updated_at = now()""",
        [
            path.lstrip("/"),
            content_type,
            len(content),
            hashlib.md5(content, usedforsecurity=False).hexdigest(),
            public,
            content,
        ],
    )


def attach_file(
    connection: Connection[Any], *, device_id: str, name: str, content: bytes, content_type: str
) -> str:
    """Store a file attached to a device's records; returns the id that metadata refers to."""
    attachment_id = new_resource_id()
    insert(
        connection,
        "attachment",
        {
            "id": attachment_id,
            "device_id": device_id,
            "name": name,
            "content_type": content_type,
            "size": len(content),
            "content": content,
        },
    )
    return attachment_id
