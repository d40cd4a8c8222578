"""How far a run over the rows of a snapshot has come."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a step of a run has come; totals as far as they are known.

    Attributes:
        step: One of the run's steps, such as `snapshot_steps.Step`.
        bytes_done: Bytes of objects in storage; or of rows in memory while they are read from a
            database, whose total is unknown.
    """

    rows_done: int
    rows_total: int | None
    step: str
    bytes_done: int = 0
    bytes_total: int | None = None


OnProgress = Callable[[Progress], None]
