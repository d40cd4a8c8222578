"""How far a run over the rows of a snapshot has come."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a step of a run has come; the totals are what is known of them.

    Attributes:
        step: Of the run's own steps, such as `snapshot_steps.Step`.
        bytes_done: Bytes of objects in storage, or of rows in memory if they are being read
            from a database, and their sum is not known.
    """

    rows_done: int
    rows_total: int | None
    step: str
    bytes_done: int = 0
    bytes_total: int | None = None


OnProgress = Callable[[Progress], None]
