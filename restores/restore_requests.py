"""Requests for restores: limited, checked, priced and stored."""

import uuid
from dataclasses import dataclass, field, replace

from django.conf import settings
from django.db import IntegrityError, transaction

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import operator, record
from backups_portal.billing.charge_ledger import current_quote
from backups_portal.projects.errors import NameRefusedError
from backups_portal.projects.models import DatabaseServer
from backups_portal.projects.project_creation import check_name
from backups_portal.ui.formats import count
from restores.errors import ChargesChangedError, RestoreRefusedError
from restores.models import Restore
from snapshots.engine.errors import EngineError
from snapshots.integrity.recorded_manifests import load_manifest
from snapshots.models import Snapshot
from snapshots.storages.configured_storages import reading_storage
from snapshots.storages.storage_marker import check_storage_on_missing

CONFLICT = 409
CHARGES_CHANGED = (
    "The charges have changed since this page was shown. Check them, then accept them again."
)
NOT_FAILED = "Only a failed restore can be tried again."


@dataclass(frozen=True)
class NewProject:
    """The project that a restore is to make.

    Attributes:
        request_key: Identifies the request, so that repeating it makes no second project.
        server: The server for its database; None: the one with most room.
        shown_terms: The prices that were accepted, as `Quote.terms`; empty: any.
    """

    name: str
    accepted_charges: bool
    request_key: uuid.UUID = field(default_factory=uuid.uuid4)
    server: DatabaseServer | None = None
    shown_terms: str = ""


def request_restore(*, snapshot: Snapshot, actor: Account, wanted: NewProject) -> Restore:
    """Queue a restore of a snapshot into a new project of `actor`.

    Asking again with the same `wanted.request_key` returns the same restore. The caller enqueues
    the work after commit.

    Raises:
        RestoreRefusedError: nothing was changed; its message is fit for a page.
    """
    wanted = replace(wanted, request_key=actor.bind_request_key(wanted.request_key))
    earlier = _earlier(wanted)
    if earlier is not None:
        return earlier
    wanted = replace(wanted, name=_check_request(actor, wanted.name, wanted.accepted_charges))
    if wanted.shown_terms and wanted.shown_terms != current_quote().terms:
        raise ChargesChangedError(CHARGES_CHANGED, field="accept_charges")
    _check_readable(snapshot)
    try:
        with transaction.atomic():
            restore = _create(snapshot, actor, wanted)
            record(
                action="restore.requested",
                actor=actor,
                project=snapshot.project,
                subject=wanted.name,
                details={"restore": str(restore.pk), "snapshot": str(snapshot.pk)},
            )
    except IntegrityError as error:
        same = _earlier(wanted)
        if same is not None:  # A concurrent request stored it.
            return same
        raise RestoreRefusedError(
            f"You are already restoring a project named “{wanted.name}”.",
            field="name",
            status=CONFLICT,
        ) from error
    return restore


def _earlier(wanted: NewProject) -> Restore | None:
    # It stays the same request even if another owner has retried the restore, and owns it now.
    return Restore.objects.filter(request_key=wanted.request_key).first()


def _check_request(actor: Account, name: str, accepted_charges: bool) -> str:
    errors: dict[str | None, str] = {}
    try:
        name = check_name(name, actor)
    except NameRefusedError as error:
        errors["name"] = str(error)
    if not accepted_charges:
        errors["accept_charges"] = "Accept the charges to create a project from this backup."
    if errors:
        raise RestoreRefusedError(errors=errors)
    return name


def _check_readable(snapshot: Snapshot) -> None:
    """Refuse what cannot be restored now, before the owner starts to wait."""
    _check_state(snapshot)
    try:
        with check_storage_on_missing():
            load_manifest(reading_storage(), snapshot)
    except EngineError as error:
        raise RestoreRefusedError(str(error), status=CONFLICT) from error


def _check_state(snapshot: Snapshot) -> None:
    if snapshot.state == Snapshot.State.EXPIRED:
        raise RestoreRefusedError(
            "This backup was removed when its retention period ended.", status=CONFLICT
        )
    if snapshot.state != Snapshot.State.COMPLETED:
        raise RestoreRefusedError("Only a stored backup can be restored.", status=CONFLICT)
    if snapshot.verdict == Snapshot.Verdict.FAILED:
        raise RestoreRefusedError(
            "This backup failed its proof: it does not restore to what it recorded. "
            f"{snapshot.verdict_reason} Choose another backup; an operator can prove this one "
            "again once its storage is repaired.",
            status=CONFLICT,
        )


def _create(snapshot: Snapshot, actor: Account, wanted: NewProject) -> Restore:
    _check_limit(actor, wanted.request_key)
    # The lock keeps retention from removing the snapshot between this check and the insert.
    locked = Snapshot.objects.select_for_update(of=("self",)).get(pk=snapshot.pk)
    _check_state(locked)
    quote = current_quote()
    return Restore.objects.create(
        snapshot=locked,
        requested_by=actor,
        operator=operator(),
        request_key=wanted.request_key,
        name=wanted.name,
        wanted_server=wanted.server,
        creation_fee=quote.creation_fee,
        running_fee_per_hour=quote.running_fee_per_hour,
        currency=quote.currency,
        rows_total=locked.rows,
    )


def limit_reached(account: Account, *, request_key: uuid.UUID | None = None) -> str:
    """Explain that an account is at its limit of restores; "" if it is not.

    An operator's restores in an owner's name are unlimited, and do not count against the owner.

    Args:
        request_key: The key of the requested restore, which is not counted: a second click may
            find it under way.
    """
    most = settings.RESTORES_AT_ONCE
    if not most or operator():
        return ""
    rows = Restore.objects.unfinished().filter(requested_by=account, operator="")
    if request_key:
        rows = rows.exclude(request_key=request_key)
    under_way = rows.count()
    if under_way < most:
        return ""
    return (
        f"You have {count(under_way, 'restore')} under way, and can have {most:,} at a time. "
        "Ask again when one has ended."
    )


def _check_limit(actor: Account, request_key: uuid.UUID) -> None:
    """Refuse a restore beyond the limit; a lock serializes the count."""
    Account.objects.select_for_update(no_key=True).get(pk=actor.pk)
    if reached := limit_reached(actor, request_key=request_key):
        raise RestoreRefusedError(reached, status=CONFLICT)


def retry_restore(*, restore: Restore, actor: Account) -> Restore:
    """Queue a failed restore again, with its name and its price.

    The actor accepts the price and owns the new project, even if another owner asked first.

    Raises:
        RestoreRefusedError: it has not failed, its name is taken or its snapshot gone by now, or
            the actor has too many others under way.
    """
    if restore.state != Restore.State.FAILED:
        raise RestoreRefusedError(NOT_FAILED, status=CONFLICT)
    _check_request(actor, restore.name, accepted_charges=True)
    _check_readable(restore.snapshot)
    try:
        with transaction.atomic():
            _check_limit(actor, restore.request_key)
            snapshot = Snapshot.objects.select_for_update(of=("self",)).get(pk=restore.snapshot_id)
            _check_state(snapshot)
            if _queue_again(restore, actor):
                record(
                    action="restore.retried",
                    actor=actor,
                    project=snapshot.project,
                    subject=restore.name,
                    details={"restore": str(restore.pk)},
                )
    except IntegrityError as error:
        raise RestoreRefusedError(
            f"You are already restoring a project named “{restore.name}”.", status=CONFLICT
        ) from error
    restore.refresh_from_db()
    if restore.requested_by_id != actor.pk:
        # Another owner retried at the same moment, and will own the new project.
        raise RestoreRefusedError(NOT_FAILED, status=CONFLICT)
    return restore


def _queue_again(restore: Restore, actor: Account) -> bool:
    """Queue the restore if it is still failed; tell whether it was."""
    queued = Restore.objects.filter(pk=restore.pk, state=Restore.State.FAILED).update(
        state=Restore.State.QUEUED,
        step=Restore.Step.WAITING,
        requested_by=actor,
        operator=operator(),
        reason="",
        cause="",
        attempts=0,
        rows_done=0,
        lease=None,
        lease_until=None,
        finished_at=None,
    )
    return bool(queued)
