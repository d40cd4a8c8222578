"""The progress of a restore, step by step."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from django.utils import timezone

from backups_portal.ui.eta import Pace, pace
from restores.build_steps import Step
from restores.models import Restore

SHOWN = [step for step in Step if step is not Step.DONE]
COUNTED = (Step.LOADING, Step.PROVING)


class Progress(StrEnum):
    """The state of a step."""

    DONE = "done"
    CURRENT = "current"
    FAILED = "failed"
    AHEAD = "ahead"


class StepLine(NamedTuple):
    """A step as the page lists it."""

    label: str
    progress: Progress


def step_lines(restore: Restore) -> list[StepLine]:
    """List the steps of a restore in order, each with its state."""
    steps = list(Step)
    here = steps.index(Step(restore.step))
    at_here = Progress.FAILED if restore.state == Restore.State.FAILED else Progress.CURRENT
    return [StepLine(step.label, _progress(steps.index(step), here, at_here)) for step in SHOWN]


def _progress(place: int, here: int, at_here: Progress) -> Progress:
    if place == here:
        return at_here
    return Progress.DONE if place < here else Progress.AHEAD


def pace_of(restore: Restore) -> Pace:
    """Estimate the speed and the end of the current step."""
    since = restore.step_started_at
    if restore.state != Restore.State.RUNNING or restore.step not in COUNTED or since is None:
        return Pace()
    return pace(restore.rows_done, restore.rows_total, timezone.now() - since)


def waits_until(restore: Restore) -> datetime | None:
    """Return when a failed restore is retried; None if it is not."""
    postponed = restore.state == Restore.State.QUEUED and bool(restore.reason)
    return restore.lease_until if postponed else None


def time_taken(restore: Restore) -> timedelta | None:
    """Return how long a restore took; None while it is unfinished."""
    if restore.started_at and restore.finished_at:
        return restore.finished_at - restore.started_at
    return None
