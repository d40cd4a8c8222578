"""List the steps of taking a snapshot, in their order.

The worker may be killed at any of them. What is in storage and in the databases then
is said at each; tests/faults walks the list.
"""

from enum import StrEnum


class Step(StrEnum):
    """What is done next, once the step is reported."""

    # The row is a worker's; nothing was read.
    STARTING = "starting"
    # Segments are stored as they are read; no manifest names them.
    READING = "reading"
    DESCRIBING = "describing"
    # The next object makes the snapshot.
    PUBLISHING = "publishing"
    # It is in storage; nothing of it is locked, if its bucket can lock objects.
    LOCKING = "locking"
    # It is locked, and the marks that it saw are still in the main database.
    FORGETTING = "forgetting"
    # The marks are gone too; the row does not say so yet.
    RECORDING = "recording"
    # The row is completed; the message that asked for it is still in the queue.
    DONE = "done"
