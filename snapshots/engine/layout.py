"""The layout of a backup storage, and how to recognise foreign objects.

    backups-portal.json                      the marker of the storage
    probes/…                                 what is written to see whether storage works
    <project>/keys/<16 hex digits>           wrapped data keys
    <project>/segments/<2 hex>/<64 hex>.parquet
    <project>/manifests/<snapshot>.json

A project's folder is named by its id as `str(UUID)` writes it. Anything else was put there by
somebody else (`lost+found`, `.DS_Store`, a tool's lock), and code that walks the storage leaves it
alone.
"""

import re
from uuid import UUID

MARKER = "backups-portal.json"
PROBES = "probes"
SEGMENT = re.compile(r"[^/]+/segments/([0-9a-f]{2})/\1[0-9a-f]{62}\.parquet")
DATA_KEY = re.compile(r"[^/]+/keys/[0-9a-f]{16}")
MANIFEST = re.compile(r"[^/]+/manifests/[^/]+\.json")


def project_of(key: str) -> UUID | None:
    """Find the project that an object or a folder belongs to, if any."""
    folder = key.partition("/")[0]
    try:
        project_id = UUID(folder)
    except ValueError:
        return None
    return project_id if str(project_id) == folder else None


def manifest_folder(project_id: UUID | str) -> str:
    """Name the folder of a project's manifests."""
    return f"{project_id}/manifests/"


def manifest_key(project_id: UUID, snapshot_id: UUID) -> str:
    """Name a snapshot's manifest."""
    return f"{manifest_folder(project_id)}{snapshot_id}.json"


def is_manifest(key: str) -> bool:
    """Tell whether an object in `manifest_folder` has a manifest's name."""
    return MANIFEST.fullmatch(key) is not None


def segment_folder(project_id: UUID | str) -> str:
    """Name the folder of a project's segments."""
    return f"{project_id}/segments/"


def segment_key(project_id: UUID, sha256: str) -> str:
    """Name a segment by its bytes: a project stores equal ones once."""
    return f"{segment_folder(project_id)}{sha256[:2]}/{sha256}.parquet"


def is_segment(key: str) -> bool:
    """Tell whether an object has the name of a segment."""
    return SEGMENT.fullmatch(key) is not None


def keys_folder(project: object) -> str:
    """Name the folder of a project's wrapped data keys."""
    return f"{project}/keys/"


def is_data_key(key: str) -> bool:
    """Tell whether an object has the name of a wrapped data key."""
    return DATA_KEY.fullmatch(key) is not None
