"""The verbs of this app."""

from restores.requesting import request_restore, retry_restore
from restores.running import run_restore

__all__ = ["request_restore", "retry_restore", "run_restore"]
