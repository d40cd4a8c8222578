"""The verbs of this app."""

from restores.leftovers import drop_leftovers
from restores.proof_queue import queue_proof, queue_proofs
from restores.proving import run_proof
from restores.requesting import request_restore, retry_restore
from restores.running import run_restore

__all__ = [
    "drop_leftovers",
    "queue_proof",
    "queue_proofs",
    "request_restore",
    "retry_restore",
    "run_proof",
    "run_restore",
]
