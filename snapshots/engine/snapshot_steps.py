"""The steps of taking a snapshot, in order.

The worker may be killed at any of them, so each says what is in storage and in the databases at
that point; tests/faults walks the list.
"""

from enum import StrEnum


class Step(StrEnum):
    """The next step, reported before it begins."""

    # A worker has claimed the row; nothing was read.
    STARTING = "starting"
    # Segments are stored as they are read; no manifest names them yet.
    READING = "reading"
    DESCRIBING = "describing"
    # The next object makes the snapshot.
    PUBLISHING = "publishing"
    # The snapshot is in storage; none of it is locked yet, if the bucket has object lock.
    LOCKING = "locking"
    # The snapshot is locked; the marks that it saw are still in the main database.
    FORGETTING = "forgetting"
    # The marks are gone too, but the row does not say so yet.
    RECORDING = "recording"
    # The row is completed; the task's message is still in the queue.
    DONE = "done"
