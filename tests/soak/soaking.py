"""The soak itself: work under faults, and the wait until all of it has ended."""

import argparse
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import time as clock_time
from uuid import UUID

from django.db import connection
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.celery import app
from backups_portal.demo.demo_accounts import OWNER
from backups_portal.demo.process_readiness import web_answers, workers_answer
from backups_portal.lib.leased_job import send_on_commit
from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.due_times import next_run
from backups_portal.projects.models import MainDatabase, Project
from backups_portal.projects.project_creation import BackupSettings
from backups_portal.projects.shutdown import shut_down
from restores.models import Proof, Restore
from restores.orphan_databases import has_leftovers
from restores.proof_queue import wanted
from restores.tasks import run_restore
from snapshots.models import Snapshot
from tests.benchmarks.harness import Say
from tests.benchmarks.portal import visitor
from tests.faults.laboratory import ask, databases
from tests.faults.serving import messages
from tests.realprojects import make_project
from tests.soak.days import Days
from tests.soak.ingest import Field, start_writers
from tests.soak.processes import Executioner, Outages, Portal, Servers
from tests.soak.watching import Counting, Gauges, Reader

LOOP_SECONDS = 1.0
GAUGE_SECONDS = 3.0
# As parts of a day: between two restores, and until a restored project is shut down.
RESTORES, LIFE = 0.5, 1.5
# If no work ends for this long, none is expected to.
PATIENCE = 300.0
RETENTION_DAYS = (1, 2)
ZONES = ("UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata", "Australia/Lord_Howe")
# One in this many projects proves every backup, and one in this many keeps a warm database.
PROVEN, WARM = 5, 25
READY_SECONDS = 120.0


def make_fields(number: int, rng: random.Random, say: Say) -> list[Field]:
    """Make projects with a device each, whose runs are within the next day."""
    say(f"making {number:,} projects")
    owner = Account.objects.get(email=OWNER.email)
    return [_make_field(place, owner, rng) for place in range(number)]


def _make_field(place: int, owner: Account, rng: random.Random) -> Field:
    at, zone = clock_time(rng.randrange(24), rng.randrange(60)), rng.choice(ZONES)
    first = next_run(timezone.now(), at, zone)
    schedule = BackupSettings(at, zone, rng.choice(RETENTION_DAYS), first)
    project = make_project(f"Field {place + 1}", owner, schedule)
    MainDatabase.objects.filter(pk=project.pk).update(
        proof_policy="every" if place % PROVEN == 0 else "weekly", warm_restore=place % WARM == 0
    )
    return Field(project.pk, project_dsn(project), project.prefix)


def wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not (web_answers(port) and workers_answer()):
        if time.monotonic() > deadline:
            raise RuntimeError("the portal's processes did not answer")
        time.sleep(0.5)


def unrest() -> list[str]:
    """Return unfinished work and leftovers; empty if there are none."""
    now, waiting = timezone.now(), messages()
    due = MainDatabase.objects.filter(next_snapshot_at__lte=now)
    half_removed = Project.objects.filter(state=Project.State.REMOVED, removed_at=None)
    counts = {
        "projects due": due.filter(project__state=Project.State.ACTIVE).count(),
        "snapshots unfinished": Snapshot.objects.unfinished().count(),
        "restores unfinished": Restore.objects.unfinished().count(),
        "proofs unfinished": Proof.objects.unfinished().count(),
        "proofs wanted": wanted(now).count(),
        "projects half removed": half_removed.count(),
        "databases left behind": int(has_leftovers(now)),
        "orphan databases or roles": len(orphan_databases()),
        # One of beat's messages may always be there.
        "messages": waiting if waiting > len(app.conf.beat_schedule) else 0,
    }
    return [f"{what}: {count}" for what, count in counts.items() if count]


def finished() -> int:
    rows = (model._default_manager.all() for model in (Snapshot, Restore, Proof))
    return sum(all_of.filter(finished_at__isnull=False).count() for all_of in rows)


def orphan_databases() -> set[str]:
    """Return databases and roles without a project or kept proof, and those that are missing."""
    projects = Project.objects.filter(removed_at=None).values_list("database", flat=True)
    kept = Proof.objects.filter(is_kept=True).values_list("database", flat=True)
    return databases() ^ {*projects, *kept}


@dataclass
class Restores:
    rng: random.Random
    day: float
    outages: Outages
    asked: int = 0
    shut_down: int = 0
    _next: float = 0.0
    _known_since: dict[UUID, float] = field(default_factory=dict)

    def work(self) -> None:
        """Request a restore if it is time, and shut down projects that are old enough."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self.day * RESTORES
            with self.outages.borne():
                self._ask()
        with self.outages.borne():
            self._shut_down()

    def _ask(self) -> None:
        ids = list(Snapshot.objects.good().values_list("pk", flat=True))
        if ids:
            self.asked += 1
            stored = Snapshot.objects.select_related("project__created_by")
            restore = ask(stored.get(pk=self.rng.choice(ids)), f"Restored {self.asked}")
            send_on_commit(run_restore, restore.pk)

    def _shut_down(self) -> None:
        now = time.monotonic()
        for project in Project.objects.active().filter(restored_by__isnull=False):
            if now - self._known_since.setdefault(project.pk, now) > self.day * LIFE:
                shut_down(project=project, actor=project.created_by, typed_name=project.name)
                self.shut_down += 1


class Soak:
    """Everything that runs, with its supervisors and monitors."""

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
        self.executioner = Executioner(self.rng, options.day, servers, portal, self.outages)
        self.reader = self._reader(port)
        self.written: Counter[str] = Counter()
        self.connections: list[float] = []
        self._gauged = 0.0

    def _reader(self, port: int) -> Reader:
        projects = Project.objects.select_related("created_by").order_by("created_at")[:5]
        cookie = visitor(projects[0].created_by).headers["HTTP_COOKIE"]
        places = [f"/projects/{project.slug}/" for project in projects]
        pages = [place + page for place in places for page in ("", "backups/", "activity/")]
        return Reader(port, cookie, ["/", *pages], self.outages)

    def run(self, say: Say) -> None:
        writers = start_writers(self.fields, self.options)
        self.days.start()
        self.reader.start()
        end = time.monotonic() + 60 * self.options.minutes
        while (left := end - time.monotonic()) > 0 and not any(one.error for one in writers):
            self.look_after()
            self.restores.work()
            if fault := self.executioner.work():
                say(f"killed {fault}; {left / 60:.1f} minutes left")
            time.sleep(LOOP_SECONDS)
        self.days.stop()
        for writer in writers:
            writer.stop()
            self.written.update(writer.done)
        # Other work follows from here on.
        self.connections = list(self.gauges.samples.values.get("connections", []))
        # The last fault may have been to PostgreSQL.
        connection.close()

    def rest(self) -> Sequence[str]:
        """Wait until all work has ended; return what remains if nothing more happens."""
        before, since = 0, time.monotonic()
        while (found := unrest()) and time.monotonic() - since < PATIENCE:
            if (now := finished()) != before:
                before, since = now, time.monotonic()
            time.sleep(LOOP_SECONDS)
            self.look_after()
        return found

    def look_after(self) -> None:
        for service in self.portal.services:
            service.supervise()
        if time.monotonic() - self._gauged > GAUGE_SECONDS:
            with self.outages.borne():
                self.gauges.read()
                self.counting.look()
            self._gauged = time.monotonic()
