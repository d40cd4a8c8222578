"""A beat scheduler on the monotonic clock, which cannot be set.

Celery's own schedulers use the wall clock: if it is set back by an hour, they send nothing for an
hour.
"""

import sys
import time
from pathlib import Path
from typing import Any

from celery.beat import ScheduleEntry, Scheduler

from backups_portal.lib import liveness

# Entries of up to a minute are due at once; longer ones wait, or a beat that keeps restarting would
# send them each time.
SHORT_SECONDS = 60.0
FIRST_LONG_SECONDS = 15 * 60.0


class SteadyScheduler(Scheduler):
    """Sends each entry at its interval, and stores nothing for the next start.

    Entries must have intervals, not times of day. Each tick records beat's sign of life, and
    touches the file that `--schedule` names, for monitors that watch it.
    """

    max_interval = 20.0

    def __init__(self, *args: object, schedule_filename: str = "", **options: Any) -> None:
        self._file = Path(schedule_filename) if schedule_filename else None
        self._due: dict[str, float] = {}
        self._is_sending = False
        self._check_file()
        super().__init__(*args, **options)

    def tick(self, *_: object, **__: object) -> float:
        """Send the entries that are due; return the seconds until the next tick."""
        now = time.monotonic()
        for name, entry in self.schedule.items():
            seconds: float = entry.schedule.seconds
            first = now if seconds <= SHORT_SECONDS else now + min(seconds, FIRST_LONG_SECONDS)
            due = self._due.setdefault(name, first)
            if due <= now:
                # After a long delay, such as a broker outage, send once instead of catching up.
                self._due[name] = due + seconds if due + seconds > now else now + seconds
                self._send(entry)
        liveness.note_process(liveness.BEAT)
        if self._file is not None:
            liveness.touch(self._file)
        wait = min(self._due.values(), default=now + self.max_interval) - time.monotonic()
        return max(0.0, min(wait, self.max_interval))

    def close(self) -> None:
        """Close the connection to the broker, unless a message is being sent.

        A signal handler may call this during a message, when the connection holds its own locks and
        closing would deadlock. Celery calls it again on exit.
        """
        if not self._is_sending:
            super().close()

    def _check_file(self) -> None:
        """Touch the file; end beat at its start if the folder is not writable.

        Raises:
            SystemExit: it cannot be touched.
        """
        if self._file is None:
            return
        try:
            self._file.touch()
        except OSError as error:
            sys.exit(f"backups-portal: beat cannot write {self._file}: {error.strerror}.")

    def _send(self, entry: ScheduleEntry) -> None:
        self._is_sending = True
        try:
            self.apply_entry(entry, producer=self.producer)
        finally:
            self._is_sending = False
