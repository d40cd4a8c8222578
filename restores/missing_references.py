"""References of a restored project to scripts and files that it lacks."""

from psycopg import Connection

from backups_portal.lib import pgsession
from backups_portal.lib.json_types import JsonObject
from backups_portal.lib.loggers import get_logger
from snapshots.engine.contents_index import Excluded, read_excluded
from snapshots.engine.errors import EngineError
from snapshots.engine.manifest import Manifest
from snapshots.engine.source_database import source_errors
from snapshots.engine.storage import Storage

log = get_logger(__name__)

# The report is for owners: it names this many of a kind and counts the rest.
NAMED = 100
# Queries for the label of each resource, and for the texts in which it may name a file.
REFERRING = (
    ("dashboard", "SELECT label, settings::text FROM dashboard"),
    ("widget", "SELECT coalesce(settings->>'label', id), settings::text FROM widget"),
    ("device", "SELECT name, settings::text || tags::text FROM device"),
    ("action", "SELECT name, settings::text FROM action"),
    ("profile", "SELECT name, concat(logo_url, ' ', banner_url, settings::text) FROM profile"),
)


def missing_references(manifest: Manifest, storage: Storage, dsn: str) -> dict[str, object]:
    """Find analyses without a script, and resources that name a lost file.

    Returns:
        "analyses": names; "files": {"path", "used_by": names}; "attachments": how many.
    """
    excluded = _excluded(manifest, storage)
    paths = [item.name for item in excluded if item.kind == "file"]
    with source_errors(), pgsession.connect(dsn) as connection:
        analyses = connection.execute("SELECT name FROM analysis ORDER BY name").fetchall()
        used = _used_files(connection, paths)
    return {
        "analyses": [str(name) for (name,) in analyses][:NAMED],
        "analyses_total": len(analyses),
        "files": used[:NAMED],
        "files_total": len(paths),
        "attachments": sum(item.kind == "attachment" for item in excluded),
    }


def _excluded(manifest: Manifest, storage: Storage) -> list[Excluded]:
    """Return what the backup left out; [] if that cannot be read."""
    try:
        return read_excluded(storage, manifest.contents)
    except EngineError:
        log.exception("cannot read what %s left out", manifest.key)
        return []


def _used_files(connection: Connection, paths: list[str]) -> list[JsonObject]:
    users: dict[str, list[str]] = {path: [] for path in paths}
    for kind, query in REFERRING:
        for name, text in connection.execute(query.encode()):
            for path in paths:
                if path in str(text):
                    users[path].append(f"{kind} {name}")
    return [{"path": path, "used_by": names} for path, names in users.items() if names]
