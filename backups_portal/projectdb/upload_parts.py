"""Receive files in parts, which are stored as files that no list shows."""

from psycopg import Connection

from backups_portal.projectdb.files import ANYTHING, WAITING, find_file, put_file

# An upload that has not ended after this is abandoned.
PATIENCE = "1 day"


def _place(upload_id: str, number: int) -> str:
    return f"{WAITING}{upload_id}/{number:05}"


def begin(
    connection: Connection, upload_id: str, *, path: str, content_type: str, public: bool
) -> None:
    """Begin an upload, and delete the parts of abandoned ones."""
    connection.execute(
        "DELETE FROM file WHERE starts_with(path, %s) AND updated_at < now() - %s::interval",
        [WAITING, PATIENCE],
    )
    put_file(
        connection,
        path=_place(upload_id, 0),
        content=path.encode(),
        content_type=content_type,
        public=public,
    )


def hold(connection: Connection, upload_id: str, *, alone: bool) -> bool:
    """Hold an upload until the transaction ends; False if none is in progress.

    Args:
        alone: Whether others that want to hold it have to wait.
    """
    marker = [_place(upload_id, 0)]
    if alone:
        held = connection.execute("SELECT FROM file WHERE path = %s FOR UPDATE", marker)
    else:
        held = connection.execute("SELECT FROM file WHERE path = %s FOR SHARE", marker)
    return held.fetchone() is not None


def put_part(connection: Connection, upload_id: str, number: int, content: bytes) -> str:
    """Store a part, the first with number 1; return its MD5."""
    put_file(connection, path=_place(upload_id, number), content=content, content_type=ANYTHING)
    found = find_file(connection, _place(upload_id, number))
    return found.md5 if found else ""


def parts_of(connection: Connection, upload_id: str) -> dict[int, tuple[str, int]]:
    """Return the MD5 and the size of each part, by number."""
    rows = connection.execute(
        "SELECT path, md5, size FROM file WHERE starts_with(path, %s) AND path > %s ORDER BY path",
        [f"{WAITING}{upload_id}/", _place(upload_id, 0)],
    ).fetchall()
    return {int(path.rpartition("/")[2]): (md5, size) for path, md5, size in rows}


def join(connection: Connection, upload_id: str) -> str:
    """Join the parts into a file in the caller's transaction; return its path."""
    rows = connection.execute(
        "SELECT content, content_type, public FROM file WHERE starts_with(path, %s) ORDER BY path",
        [f"{WAITING}{upload_id}/"],
    ).fetchall()
    path = bytes(rows[0][0]).decode()
    put_file(
        connection,
        path=path,
        content=b"".join(bytes(content) for content, _, _ in rows[1:]),
        content_type=rows[0][1],
        public=rows[0][2],
    )
    connection.execute("DELETE FROM file WHERE starts_with(path, %s)", [f"{WAITING}{upload_id}/"])
    return path
