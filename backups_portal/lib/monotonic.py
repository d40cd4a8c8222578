"""Beat by a clock that nobody sets.

Celery's own schedulers remember by the wall clock when they last sent something: set back by an
hour, they send nothing for an hour.
"""

import time
from pathlib import Path
from typing import Any

from celery.beat import ScheduleEntry, Scheduler

from backups_portal.lib import liveness

# What is done each minute begins at once; longer rounds do so later, or a beat that is restarted
# again and again would begin them each time.
SHORT_SECONDS = 60.0
FIRST_LONG_SECONDS = 15 * 60.0


class SteadyScheduler(Scheduler):
    """Sends each entry at its interval, and keeps nothing for the next start.

    Entries have intervals: a time of day is not understood. After each look it gives beat's sign of
    life, and touches the file that `--schedule` names, for monitors that watch that one.
    """

    max_interval = 20.0

    def __init__(self, *args: object, schedule_filename: str = "", **options: Any) -> None:
        self._file = Path(schedule_filename) if schedule_filename else None
        self._due: dict[str, float] = {}
        self._is_sending = False
        super().__init__(*args, **options)

    def tick(self, *_: object, **__: object) -> float:
        """Send what is due; the seconds until the next look."""
        now = time.monotonic()
        for name, entry in self.schedule.items():
            seconds: float = entry.schedule.seconds
            first = now if seconds <= SHORT_SECONDS else now + min(seconds, FIRST_LONG_SECONDS)
            due = self._due.setdefault(name, first)
            if due <= now:
                # Who was kept for long, by a broker that was away say, makes up for nothing.
                self._due[name] = due + seconds if due + seconds > now else now + seconds
                self._send(entry)
        liveness.note_process(liveness.BEAT)
        if self._file:
            self._file.touch()
        wait = min(self._due.values(), default=now + self.max_interval) - time.monotonic()
        return max(0.0, min(wait, self.max_interval))

    def close(self) -> None:
        """Let go of the broker, when beat ends or by a signal during a message.

        There the connection has locks of its own, which closing it would wait for without end.
        Celery calls this once more on its way out.
        """
        if not self._is_sending:
            super().close()

    def _send(self, entry: ScheduleEntry) -> None:
        self._is_sending = True
        try:
            self.apply_entry(entry, producer=self.producer)
        finally:
            self._is_sending = False
