"""How far a restore is, step by step."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from django.utils import timezone

from backups_portal.ui.estimate import Pace, pace
from restores.models import Restore

SHOWN = [step for step in Restore.Step if step is not Restore.Step.DONE]
COUNTED = (Restore.Step.LOADING, Restore.Step.PROVING)


class Progress(StrEnum):
    """Where a step stands."""

    DONE = "done"
    CURRENT = "current"
    FAILED = "failed"
    AHEAD = "ahead"


class StepLine(NamedTuple):
    """A step as the page lists it; `counts` where it goes through the rows one by one."""

    label: str
    progress: Progress
    counts: bool


def step_lines(restore: Restore) -> list[StepLine]:
    """Every step of a restore in its order, with where it stands."""
    steps = list(Restore.Step)
    here = steps.index(Restore.Step(restore.step))
    at_here = Progress.FAILED if restore.state == Restore.State.FAILED else Progress.CURRENT
    return [
        StepLine(step.label, _progress(steps.index(step), here, at_here), step in COUNTED)
        for step in SHOWN
    ]


def _progress(place: int, here: int, at_here: Progress) -> Progress:
    if place == here:
        return at_here
    return Progress.DONE if place < here else Progress.AHEAD


def pace_of(restore: Restore) -> Pace:
    """How fast the step at hand goes and how long it will still take, where that can be told."""
    since = restore.step_started_at
    if restore.state != Restore.State.RUNNING or restore.step not in COUNTED or since is None:
        return Pace()
    return pace(restore.rows_done, restore.rows_total, timezone.now() - since)


def waits_until(restore: Restore) -> datetime | None:
    """When a restore that failed is tried again; None where it does not wait for that."""
    postponed = restore.state == Restore.State.QUEUED and bool(restore.reason)
    return restore.lease_until if postponed else None


def time_taken(restore: Restore) -> timedelta | None:
    """How long a restore lasted; None while it lasts."""
    if restore.started_at and restore.finished_at:
        return restore.finished_at - restore.started_at
    return None
