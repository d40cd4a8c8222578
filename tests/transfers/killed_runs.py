"""Runs of a transfer that one worker begins and another continues."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count

import pytest
from django.utils import timezone

from backups_portal.ops.tasks import send_overlooked
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.transfer_run import TransferJob, run_transfer
from tests.transfers.test_transfer_run import run


class KilledError(BaseException):
    """An error that no handler of the portal catches."""


def kill_at_commit(transfer: Transfer, number: int, *, is_committed: bool = True) -> None:
    """Kill a transfer at a commit, before the portal's database learns of it.

    Args:
        number: The number of the commit, from 1.
        is_committed: Whether it is killed after the target's commit, or before it.
    """
    hold, holds = TransferJob._right, count()

    @contextmanager
    def killed(job: TransferJob) -> Iterator[None]:
        with hold(job):
            # The first check, 0, only decides whether the work may begin.
            is_it = next(holds) == number
            if is_it and not is_committed:
                raise KilledError
            yield
            if is_it:
                raise KilledError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TransferJob, "_right", killed)
        with pytest.raises(KilledError):
            run_transfer(transfer.pk)


def go_on(transfer: Transfer) -> Transfer:
    """Let the lease expire, and let the tick send it to another worker."""
    Transfer.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert send_overlooked(Transfer, timezone.now()) == [transfer.pk]
    return run(transfer)
