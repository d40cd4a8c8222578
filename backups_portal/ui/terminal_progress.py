"""Progress of long work in a terminal."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol, TextIO

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from backups_portal.ui import formats
from backups_portal.ui.eta import remaining


class Counted(Protocol):
    """The progress of a step; a total is None if unknown."""

    @property
    def step(self) -> str: ...
    @property
    def rows_done(self) -> int: ...
    @property
    def rows_total(self) -> int | None: ...
    @property
    def bytes_done(self) -> int: ...
    @property
    def bytes_total(self) -> int | None: ...


OnProgress = Callable[[Counted], None]


@contextmanager
def progress_bar(stream: OutputWrapper, *, silent: bool = False) -> Iterator[OnProgress]:
    """Show a bar for each step on a terminal, a line elsewhere.

    If `silent`, nothing is shown.

    The yielded function is thread-safe.
    """
    if silent:
        yield lambda counted: None
    elif stream.isatty():
        with _bars(sys.stderr) as bars:
            yield _Bars(bars)
    else:
        yield _Lines(stream)


def describe(counted: Counted, elapsed: timedelta) -> str:
    """Describe rows and bytes done, and the time left in the step."""
    rows = formats.count(counted.rows_done, "row")
    if counted.rows_total is not None:
        rows = f"{counted.rows_done:,} of {formats.count(counted.rows_total, 'row')}"
    parts = [rows]
    if counted.bytes_done:
        size = formats.data_size(counted.bytes_done)
        if counted.bytes_total:
            size += f" of {formats.data_size(counted.bytes_total)}"
        parts.append(size)
    left = remaining(counted.rows_done, counted.rows_total, elapsed)
    if left is not None:
        parts.append(f"about {formats.roughly(left)} left")
    return ", ".join(parts)


class _Steps:
    """Detects when a step begins, whichever thread reports it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._step = ""
        self._since = 0.0

    def __call__(self, counted: Counted) -> None:
        with self._lock:
            if counted.step != self._step:
                self._step, self._since = counted.step, time.monotonic()
                self.begin(counted)
            self.advance(counted, timedelta(seconds=time.monotonic() - self._since))

    def begin(self, counted: Counted) -> None:
        """Begin to show a step."""

    def advance(self, counted: Counted, elapsed: timedelta) -> None:
        """Show how far the step has come."""


class _Lines(_Steps):
    def __init__(self, stream: OutputWrapper) -> None:
        super().__init__()
        self._stream = stream

    def begin(self, counted: Counted) -> None:
        total = "" if counted.rows_total is None else f" {formats.count(counted.rows_total, 'row')}"
        self._stream.write(f"{counted.step}{total}")


class _Bars(_Steps):
    def __init__(self, bars: Progress) -> None:
        super().__init__()
        self._bars = bars
        self._task: TaskID | None = None

    def begin(self, counted: Counted) -> None:
        self._finish()
        self._task = self._bars.add_task(counted.step, total=counted.rows_total, note="")

    def advance(self, counted: Counted, elapsed: timedelta) -> None:
        if self._task is not None:
            self._bars.update(
                self._task,
                completed=counted.rows_done,
                total=counted.rows_total,
                note=describe(counted, elapsed),
            )

    def _finish(self) -> None:
        if self._task is not None:
            task = next(task for task in self._bars.tasks if task.id == self._task)
            self._bars.update(self._task, completed=task.total)


def _bars(stream: TextIO) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(file=stream),
    )
