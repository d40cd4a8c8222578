"""The soak itself: what goes on while servers and workers are killed, and until all is at rest."""

import argparse
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from tests.benchmarks.samples import Say
from tests.benchmarks.soakchecks import finished, unrest
from tests.benchmarks.soakdays import Days
from tests.benchmarks.soakfaults import Executioner, Fault
from tests.benchmarks.soakingest import Field, start_writers
from tests.benchmarks.soakoutages import Outages
from tests.benchmarks.soakservices import Portal, Servers
from tests.benchmarks.soaksetup import visitor
from tests.benchmarks.soakwatching import Counting, Gauges, Reader

LOOP_SECONDS = 1.0
GAUGE_SECONDS = 3.0
# As parts of a day: between two restores, and until a restored project is shut down.
RESTORES, LIFE = 0.5, 1.5
# Without any work coming to an end, until it is held that none will.
PATIENCE = 300.0


@dataclass
class Restores:
    """Restores asked for in turns, whose projects are shut down after a while."""

    rng: random.Random
    day: float
    outages: Outages
    asked: int = 0
    shut_down: int = 0
    _next: float = 0.0
    _known_since: dict[UUID, float] = field(default_factory=dict)

    def work(self) -> None:
        """Ask for one where it is time to, and shut down what has lived for long enough."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self.day * RESTORES
            with self.outages.borne():
                self._ask()
        with self.outages.borne():
            self._shut_down()

    def _ask(self) -> None:
        from backups_portal.lib.leased_job import send_on_commit
        from restores.tasks import run_restore
        from snapshots.models import Snapshot
        from tests.faults.laboratory import ask

        ids = list(Snapshot.objects.good().values_list("pk", flat=True))
        if ids:
            self.asked += 1
            stored = Snapshot.objects.select_related("project__created_by")
            restore = ask(stored.get(pk=self.rng.choice(ids)), f"Restored {self.asked}")
            send_on_commit(run_restore, restore.pk)

    def _shut_down(self) -> None:
        from backups_portal.projects.models import Project
        from backups_portal.projects.shutdown import shut_down

        now = time.monotonic()
        for project in Project.objects.active().filter(restored_by__isnull=False):
            if now - self._known_since.setdefault(project.pk, now) > self.day * LIFE:
                shut_down(project=project, actor=project.created_by, typed_name=project.name)
                self.shut_down += 1


class Soak:
    """Everything that runs, with what looks after it and at it."""

    def __init__(
        self,
        options: argparse.Namespace,
        servers: Servers,
        portal: Portal,
        fields: Sequence[Field],
        port: int,
    ) -> None:
        self.options, self.servers, self.portal, self.fields = options, servers, portal, fields
        self.outages = Outages()
        self.gauges = Gauges(servers, portal)
        self.counting = Counting({field.project_id: field.truth for field in fields})
        self.rng = random.Random(options.seed)  # noqa: S311
        self.restores = Restores(self.rng, options.day, self.outages)
        self.days = Days(options.day, self.outages)
        someone = visitor()
        self.reader = Reader(port, someone.session, someone.pages, self.outages)
        self.kills: Counter[str] = Counter()
        self.written: Counter[str] = Counter()
        self._gauged = 0.0

    def run(self, say: Say) -> None:
        """Let it go on for the time that was asked for."""
        day = self.options.day
        executioner = Executioner(self.rng, day, self.servers, self.portal, self.outages)
        writers = start_writers(self.fields, self.options)
        self.days.start()
        self.reader.start()
        end = time.monotonic() + 60 * self.options.minutes
        while (left := end - time.monotonic()) > 0 and not any(one.error for one in writers):
            self.look_after()
            self.restores.work()
            if fault := executioner.work():
                say(f"killed {fault}; {left / 60:.1f} minutes left")
            time.sleep(LOOP_SECONDS)
        self.days.stop()
        for writer in writers:
            writer.stop()
            self.written.update({**writer.done, "unclear": writer.unclear})
        self.kills.update({fault: executioner.done[fault] for fault in Fault})
        self.gauges.mark()

    def rest(self) -> Sequence[str]:
        """Wait until there is nothing left to do; what there is when nothing more happens."""
        before, since = 0, time.monotonic()
        while (found := unrest()) and time.monotonic() - since < PATIENCE:
            if (now := finished()) != before:
                before, since = now, time.monotonic()
            time.sleep(LOOP_SECONDS)
            self.look_after()
        return found

    def look_after(self) -> None:
        """Start what has ended, and take samples."""
        for service in self.portal.services:
            service.supervise()
        if time.monotonic() - self._gauged > GAUGE_SECONDS:
            with self.outages.borne():
                self.gauges.read()
                self.counting.look()
            self._gauged = time.monotonic()
