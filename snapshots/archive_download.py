"""Downloads of stored snapshots, each as one ZIP for the owner."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from backups_portal.accounts.models import Account
from backups_portal.accounts.sign_in_limits import DOWNLOAD, take_for
from backups_portal.lib.client_address import asked_from, client_address
from backups_portal.lib.loggers import get_logger
from snapshots.engine.errors import EngineError
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.engine.zip_archive import archive_snapshot, check_complete
from snapshots.errors import DownloadRefusedError, TooManyTriesError, WrongPasswordError
from snapshots.integrity.recorded_manifests import load_manifest
from snapshots.models import Snapshot
from snapshots.retention.reader_leases import LeasedFile, lease_to_reader
from snapshots.storages.configured_storages import reading_storage
from snapshots.storages.storage_marker import check_storage_on_missing

log = get_logger(__name__)

NOT_STORED = "Only a stored backup can be downloaded."
WRONG_PASSWORD = "Wrong password. Nothing was downloaded."  # noqa: S105 - a sentence


@dataclass(frozen=True)
class Download:
    """A ZIP in progress: the file's name, and its bytes piece by piece."""

    file_name: str
    pieces: Iterator[bytes]


def open_download(*, snapshot: Snapshot, actor: Account) -> Download:
    """Start a download of a snapshot, whose project `actor` must own.

    The audit log records the start as well as a refusal.

    Raises:
        DownloadRefusedError: it is not stored, or parts of it are missing in storage.
    """
    try:
        return fetch_download(snapshot=snapshot, actor=actor)
    except DownloadRefusedError as refused:
        snapshot.record("snapshot.download_refused", actor, reason=str(refused))
        raise


def check_download(*, snapshot: Snapshot, owners: Sequence[Account], password: str) -> Account:
    """Check whether a password allows a download; return its owner.

    For a client that first proves its identity and then fetches the file with another request.

    Args:
        owners: The owners of the snapshot's project, any of whom may download it.

    Raises:
        TooManyTriesError: every owner has had too many wrong passwords.
        WrongPasswordError: no owner has this password.
        DownloadRefusedError: it is not stored, or parts of it are missing in storage.
    """
    actor = None
    try:
        actor = _find_account(password, owners)
        _open(snapshot)
    except DownloadRefusedError as refused:
        snapshot.record("snapshot.download_refused", actor, reason=str(refused))
        raise
    return actor


def fetch_download(*, snapshot: Snapshot, actor: Account) -> Download:
    """Start a download that `check_download` has allowed `actor`.

    Raises:
        DownloadRefusedError: it is no longer stored, or parts of it are missing in storage.
    """
    storage, manifest = _open(snapshot)
    # Retention may have removed it by now; once there is a lease, retention waits.
    lease = lease_to_reader(snapshot, actor)
    if lease is None:
        raise DownloadRefusedError(NOT_STORED)
    with ExitStack() as held:
        held.callback(lease.release)
        snapshot.record("snapshot.downloaded", actor, rows=manifest.rows)
        pieces = _pieces(snapshot, actor, storage, manifest, client_address())
        return Download(
            f"{snapshot.project.slug}-{manifest.taken_at:%Y-%m-%d}.zip",
            LeasedFile(lease, pieces, held.pop_all()),
        )


def _find_account(password: str, accounts: Sequence[Account]) -> Account:
    """Find the first account with this password; each failure counts as a try."""
    waits = []
    for account in accounts:
        if wait := take_for(DOWNLOAD, account):
            waits.append(wait)
        elif account.check_password(password):
            DOWNLOAD.forget(str(account.pk))
            return account
    if waits and len(waits) == len(accounts):
        raise TooManyTriesError(min(waits))
    raise WrongPasswordError(WRONG_PASSWORD)


def _open(snapshot: Snapshot) -> tuple[Storage, Manifest]:
    if snapshot.state != Snapshot.State.COMPLETED:
        raise DownloadRefusedError(NOT_STORED)
    try:
        storage = reading_storage()
        with check_storage_on_missing():
            manifest = load_manifest(storage, snapshot)
            check_complete(storage, manifest)
    except EngineError as error:
        log.exception("cannot be downloaded", snapshot=snapshot.pk)
        raise DownloadRefusedError(f"Nothing was downloaded. {error}") from error
    return storage, manifest


def _pieces(
    snapshot: Snapshot, actor: Account, storage: Storage, manifest: Manifest, address: str | None
) -> Iterator[bytes]:
    """Stream the archive; an error must break the connection off too."""
    project = snapshot.project
    try:
        yield from archive_snapshot(
            storage, manifest, project_name=project.name, profile_id=project.profile_id
        )
    except EngineError as error:
        log.exception("download broke off", snapshot=snapshot.pk)
        # The request has been answered by now, so its address must be passed on.
        with asked_from(address):
            snapshot.record("snapshot.download_broken", actor, reason=str(error))
        raise
