"""Audit events of transfers."""

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import record
from backups_portal.transfers.models import Transfer


def record_transfer(action: str, transfer: Transfer, actor: Account, **details: str) -> None:
    """Record an action in the logs of both projects, if they still exist."""
    for project in (transfer.source, transfer.target):
        if project is not None:
            record(
                action=action,
                actor=actor,
                project=project,
                subject=f"{transfer.source_name} → {transfer.target_name}",
                details={"transfer": str(transfer.pk), **details},
            )
