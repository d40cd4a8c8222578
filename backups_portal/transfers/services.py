"""The verbs of this app."""

from backups_portal.transfers.forgetting import forget_transfers
from backups_portal.transfers.requesting import (
    find_transfer,
    request_transfer,
    request_undo,
    retry_plan,
    start_move,
    stop_move,
)
from backups_portal.transfers.running import run_transfer

__all__ = [
    "find_transfer",
    "forget_transfers",
    "request_transfer",
    "request_undo",
    "retry_plan",
    "run_transfer",
    "start_move",
    "stop_move",
]
