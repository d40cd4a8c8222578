"""The result of a soak, and what must be true when all work has ended."""

import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any
from uuid import UUID

from django.utils import timezone
from rich.console import Console

from backups_portal.audit.hash_chain import verify
from backups_portal.audit.models import AuditEvent
from backups_portal.billing.models import Charge
from backups_portal.ops.storage_probe import MAX_PROBE_TIME, forget_probes
from backups_portal.projects.models import Project
from restores.models import Proof, Restore
from restores.proof_check import ProofError
from restores.proof_queue import queue_proof
from restores.tasks import run_proof
from snapshots.engine.layout import PROBES, keys_folder
from snapshots.engine.manifest import Manifest
from snapshots.integrity.orphan_objects import sweep_project
from snapshots.models import Snapshot
from snapshots.retention.expiry import each_project_id
from snapshots.run.snapshot_run import SHUT_DOWN
from snapshots.storages.configured_storages import snapshot_storage
from snapshots.storages.storage_marker import MARKER
from tests.benchmarks.harness import Goal, Samples, Say, divide, percentile, show, show_table
from tests.projectdatabases import quiet
from tests.realprojects import database_of
from tests.restore_parts import compare_with_manifest
from tests.soak.days import missing_dates, pass_day
from tests.soak.ingest import Field
from tests.soak.processes import Outages, logs
from tests.soak.soaking import Soak, orphan_databases
from tests.soak.watching import connections, growth, quarters, surplus
from tests.takensnapshots import prune

READERS = 2
LOGGED = re.compile(r"^(?P<at>\d{4}-\d\d-\d\d [\d:]{8}),\d+ (?:ERROR|CRITICAL) (?P<what>.*)", re.M)
VARYING = re.compile(r"[0-9a-f]*\d[0-9a-f-]*")
MAX_LENGTH = 160
SHOWN = 10
# On a busy machine it takes a while to notice a lost connection.
LATE_SECONDS = 10


def lost_groups(fields: Sequence[Field]) -> list[str]:
    return [
        f"bp_{field.prefix}: {group}"
        for field in fields
        for group in field.truth.differences(field.found())
    ]


def running_projects() -> list[Project]:
    return list(Project.objects.active().select_related("server"))


def difference(project: Project) -> str:
    """Return how a project's newest backup differs from its database, row by row."""
    newest = Snapshot.objects.filter(project=project).order_by("-local_date").first()
    if newest is None or newest.state != Snapshot.State.COMPLETED:
        return f"{project}: its last backup is {newest and newest.state}"
    manifest = Manifest.load(snapshot_storage(), newest.manifest)
    target = database_of(project)
    try:
        compare_with_manifest(manifest, target, readers=READERS, on_progress=quiet)
    except ProofError as error:
        return f"{project}: {error}"
    return ""


def queue_all_proofs(most: int) -> list[UUID]:
    """Queue proofs of every stored snapshot: restored, and compared row by row.

    Args:
        most: A random sample of this many; 0: all.
    """
    stored = Snapshot.objects.completed().order_by("?").values_list("pk", flat=True)
    queued = map(queue_proof, stored[:most] if most else stored)
    proofs = [proof.pk for proof in queued if proof is not None]
    for proof_id in proofs:
        run_proof.delay(str(proof_id))
    return proofs


def not_passed(proofs: Sequence[UUID]) -> list[str]:
    rows = Proof.objects.filter(pk__in=proofs).exclude(state=Proof.State.PASSED)
    return [f"snapshot {row.snapshot_id}: {row.state} {row.reason}" for row in rows]


def sweep_everything() -> tuple[int, list[str]]:
    now = timezone.now()
    prune(now)
    # Delete probes' leftovers as if they were old enough, since processes were killed midway.
    forget_probes(now + MAX_PROBE_TIME)
    swept = [found for pk in each_project_id() if (found := sweep_project(pk)) is not None]
    return sum(one.removed for one in swept), [key for one in swept for key in one.missing]


def orphan_objects() -> list[str]:
    """Return objects in storage that no manifest and no row of the catalogue names."""
    storage = snapshot_storage()
    manifests = list(Snapshot.objects.completed().values_list("manifest", flat=True))
    # The storage has a marker, and its probes have their own key.
    named = {MARKER, *manifests}
    for key in manifests:
        named.update(Manifest.load(storage, key).objects)
    for owner in (PROBES, *Project.objects.filter(removed_at=None).values_list("pk", flat=True)):
        named.update(item.key for item in storage.list(keys_folder(owner)))
    return sorted({item.key for item in storage.list("")} - named)


def wrong_charges() -> list[str]:
    """Return restores not charged exactly once for the creation and for running."""
    made = Restore.objects.filter(state=Restore.State.COMPLETED)
    wrong = []
    for restore in made:
        kinds = Charge.objects.filter(project_id=restore.project_id).values_list("kind", flat=True)
        if sorted(kinds) != [Charge.Kind.CREATION, Charge.Kind.RUNNING]:
            wrong.append(f"restore {restore.pk}: {sorted(kinds)}")
    failed = Restore.objects.filter(state=Restore.State.FAILED).exclude(project=None)
    wrong += [f"restore {restore.pk} failed and has a project" for restore in failed]
    if Project.objects.filter(restored_by__isnull=False).count() != made.count():
        wrong.append("there are other restored projects than restores")
    creations = Charge.objects.filter(kind=Charge.Kind.CREATION).count()
    if creations != Project.objects.count():
        wrong.append(f"{creations} creations of {Project.objects.count()} projects")
    return wrong


def audit_trouble() -> list[str]:
    broken = verify().broken
    return [broken] if broken else []


def outcomes(fields: Sequence[Field]) -> dict[str, int]:
    events, proofs, restores = AuditEvent.objects, Proof.objects, Restore.objects
    snapshots, taken = Snapshot.objects, Snapshot.objects.filter(taken_at__isnull=False)
    given_up = events.filter(action="snapshot.failed")
    found = {
        "snapshots completed": taken,
        "snapshots read in full": taken.filter(is_full=True),
        "snapshots failed": given_up.exclude(details__reason=SHUT_DOWN),
        "snapshots of projects shut down": given_up.filter(details__reason=SHUT_DOWN),
        "snapshots retried": events.filter(action="snapshot.retried"),
        "snapshots expired": events.filter(action="snapshot.expired"),
        "snapshots begun again": snapshots.filter(attempts__gt=1),
        "changes that tracking missed": snapshots.exclude(untracked=[]),
        "restores completed": restores.filter(state=Restore.State.COMPLETED),
        "restores that were warm": restores.filter(was_warm=True),
        "restores failed": restores.filter(state=Restore.State.FAILED),
        "restores begun again": restores.filter(attempts__gt=1),
        "proofs passed": proofs.filter(state=Proof.State.PASSED),
        "proofs failed": proofs.filter(state=Proof.State.FAILED),
        "proofs given up": proofs.filter(state=Proof.State.GIVEN_UP),
        "proofs begun again": proofs.filter(attempts__gt=1),
        "audit events": events.all(),
    }
    counts = {name: rows.count() for name, rows in found.items()}
    return {**counts, "days without a backup": _missed_days(fields)}


def _missed_days(fields: Sequence[Field]) -> int:
    ours = Snapshot.objects.filter(project__in=[field.project_id for field in fields])
    rows = ours.order_by("project").values_list("project", "local_date")
    dates: list[list[date]] = [
        [day for _, day in of_one] for _, of_one in groupby(rows, itemgetter(0))
    ]
    return sum(map(missing_dates, dates))


def reasons() -> Mapping[str, int]:
    actions = ("snapshot.retried", "snapshot.failed", "restore.postponed", "restore.failed")
    events = AuditEvent.objects.filter(action__in=actions).values_list("action", "details")
    ended = Proof.objects.filter(state__in=(Proof.State.FAILED, Proof.State.GIVEN_UP))
    return Counter(
        [
            *(f"{action}: {details['reason']}" for action, details in events),
            *(f"proof {row.state}: {row.reason}" for row in ended),
        ]
    )


def logged_errors(logs: Sequence[Path], outages: Outages) -> Counter[str]:
    """Count errors logged while both servers were up, without ids and numbers."""
    found: Counter[str] = Counter()
    for log in logs:
        for line in LOGGED.finditer(log.read_text(errors="replace")):
            at = datetime.fromisoformat(line["at"]).timestamp() - outages.offset
            if not outages.touch(at - LATE_SECONDS, at + 1):
                found[VARYING.sub("…", line["what"])[:MAX_LENGTH]] += 1
    return found


WEB_THREADS = 8
# Processes that were never killed.
LASTING = ("worker0", "web", "beat")
TIMES = 5

STUCK = "work that came to no end, and what was left behind"
COUNTS = ("changes that tracking missed", "restores failed", "proofs failed")
SHARES = {"snapshots failed": "snapshots that failed for good", "days without a backup": ""}


@dataclass
class Verdict:
    """The findings.

    Attributes:
        troubles: Sentences, by the rule that they violate.
        figures: Numbers, by name.
        reasons: How often work was retried or given up, by reason.
        logged: How often processes logged errors outside of outages, by error.
        gauges: Samples over the whole run, by name.
    """

    samples: Samples = field(default_factory=Samples)
    troubles: dict[str, list[str]] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    logged: Mapping[str, int] = field(default_factory=dict)
    gauges: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def note(self, name: str, troubles: Sequence[str]) -> None:
        self.troubles.setdefault(name, []).extend(troubles)

    def show(self, console: Console, title: str) -> dict[str, Any]:
        """Show the result; return it for JSON, with whether all is as it must be."""
        wanted = goals(self.troubles)
        lines = show(console, self.samples, wanted, title)["lines"]
        for heading, numbers in (
            ("figure", self.figures),
            ("tried again or given up, because", self.reasons),
            ("logged as errors while nothing was away", self.logged),
        ):
            rows = [(name, f"{number:,}") for name, number in numbers.items()]
            show_table(console, "", (heading, ""), rows)
        for name, found in self.troubles.items():
            for trouble in found[:SHOWN]:
                console.print(f"{name}: {trouble}", style="red", markup=False)
        return {
            # Every goal was measured.
            "holds": len(lines) == len(wanted) and all(line["reached_must"] for line in lines),
            "lines": lines,
            "figures": self.figures,
            "reasons": self.reasons,
            "logged errors": self.logged,
            "troubles": {name: found for name, found in self.troubles.items() if found},
            "gauges": self.gauges,
        }


def look_at(soak: Soak, say: Say) -> Verdict:
    verdict = Verdict()
    start = time.monotonic()
    say("waiting until all work has ended")
    verdict.note(STUCK, soak.rest())
    verdict.figures["seconds until at rest"] = round(time.monotonic() - start)
    verdict.note("groups of records that were lost or torn", lost_groups(soak.fields))
    _look_at_snapshots(soak, verdict, say)
    say("sweeping storage")
    verdict.figures["objects swept in the end"], missing = sweep_everything()
    verdict.note("objects that storage lacks", missing)
    verdict.note("orphan objects", orphan_objects())
    verdict.note("orphan databases and roles", sorted(orphan_databases()))
    _look_at_processes(soak, verdict)
    verdict.note("wrong charges", wrong_charges())
    verdict.note("faults of the audit log", audit_trouble())
    verdict.note("other errors", soak.outages.unexplained)
    verdict.figures |= {**outcomes(soak.fields), **_figures(soak)}
    _sample(soak, verdict)
    verdict.reasons, verdict.gauges = reasons(), soak.gauges.samples.values
    verdict.logged = logged_errors(logs(soak.servers.folder), soak.outages)
    return verdict


def _look_at_snapshots(soak: Soak, verdict: Verdict, say: Say) -> None:
    say("a last day without ingest and faults")
    projects = running_projects()
    for project in projects:
        pass_day(project.pk)
    verdict.note(STUCK, soak.rest())
    soak.counting.look()
    verdict.note("snapshots with other rows than there were", soak.counting.wrong)
    say(f"comparing {len(projects):,} databases with their last snapshots")
    differing = list(filter(None, map(difference, projects)))
    verdict.note("last snapshots that differ from their database", differing)
    proofs = queue_all_proofs(soak.options.prove)
    say(f"proving {len(proofs):,} remaining snapshots")
    verdict.note(STUCK, soak.rest())
    verdict.note("stored snapshots that do not restore and prove", not_passed(proofs))
    verdict.figures["snapshots left in the end"] = Snapshot.objects.completed().count()
    verdict.figures["snapshots proven in the end"] = len(proofs)


def _look_at_processes(soak: Soak, verdict: Verdict) -> None:
    soak.reader.stop()
    for path in soak.reader.pages:
        soak.reader.show(path)
    verdict.note("pages that failed while PostgreSQL was there", soak.reader.failed)
    ended = [f"{one.name}: {one.ended} times" for one in soak.portal.services if one.ended]
    verdict.note("processes that ended by themselves", ended)
    found = []
    for _ in range(TIMES):
        # Beat's tasks have connections for a moment.
        found.append(connections(soak.servers))
        time.sleep(1)
    least = min(found, key=lambda one: surplus(one, threads_of_web=WEB_THREADS))
    verdict.samples.add("surplus", surplus(least, threads_of_web=WEB_THREADS))
    verdict.figures["connections at rest"] = least.total


def _figures(soak: Soak) -> dict[str, Any]:
    late = divide(soak.days.late, soak.days.passed) or 0
    return {
        "days of projects": soak.days.passed,
        "seconds that a day waited for the machine": round(late, 1),
        "restores asked for": soak.restores.asked,
        "restored projects shut down": soak.restores.shut_down,
        "snapshots whose rows were counted": soak.counting.seen,
        "pages shown": len(soak.reader.seconds),
        "pages that met a PostgreSQL that was away": soak.reader.excused,
        "95 % of pages within ms": round(percentile(soak.reader.seconds) or 0),
        **{f"killed: {fault}": count for fault, count in soak.executioner.done.items()},
        **{f"ingest: {what}": count for what, count in soak.written.items()},
    }


def _sample(soak: Soak, verdict: Verdict) -> None:
    samples, figures = verdict.samples, verdict.figures
    for name, troubles in verdict.troubles.items():
        samples.add(name, len(troubles))
    for name in COUNTS:
        samples.add(name, figures[name])
    for name in SHARES:
        share = divide(figures[name], figures["snapshots completed"]) or 0
        samples.add(f"{name} %", 100 * share)
    for name in LASTING:
        if (value := growth(soak.gauges.samples.values.get(f"{name} MB", []))) is not None:
            samples.add(f"{name} growth", value)
    if found := quarters(soak.connections):
        samples.add("more connections", found[1] - found[0])


def goals(troubles: Iterable[str]) -> list[Goal]:
    """Return the goals of a soak, which forbid all these troubles."""
    memory = "memory of {}: last quarter vs first"
    return [
        *(Goal(name, name, 0, unit="") for name in (*troubles, *COUNTS)),
        Goal("connections at rest that nobody needs", "surplus", 0, unit=""),
        *(Goal(title or name, f"{name} %", 1, 0, "%") for name, title in SHARES.items()),
        *(Goal(memory.format(name), f"{name} growth", 1.25, 1.1) for name in LASTING),
        Goal("connections: more in the last quarter", "more connections", 8, 2, ""),
    ]
