"""What must be true when everything has come to rest."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from uuid import UUID

from django.utils import timezone

from backups_portal.audit.hash_chain import verify
from backups_portal.audit.models import AuditEvent
from backups_portal.billing.models import Charge
from backups_portal.celery import app
from backups_portal.ops.storage_probe import LONGEST_TRY, forget_probes
from backups_portal.projects.models import MainDatabase, Project
from restores.models import Proof, Restore
from restores.orphan_databases import has_leftovers
from restores.proof_check import ProofError, compare_with_manifest
from restores.proof_queue import queue_proof, wanted
from restores.tasks import run_proof
from snapshots.engine.layout import PROBES, keys_folder
from snapshots.engine.manifest import Manifest
from snapshots.integrity.orphan_objects import sweep_project
from snapshots.models import Snapshot
from snapshots.retention.expiry import each_project_id, prune
from snapshots.run.snapshot_run import SHUT_DOWN
from snapshots.storages.configured_storages import snapshot_storage
from snapshots.storages.storage_marker import MARKER
from tests.benchmarks.portal import main_database_of
from tests.benchmarks.soak.days import missing_dates
from tests.benchmarks.soak.faults import Outages
from tests.benchmarks.soak.ingest import Field
from tests.faults.laboratory import databases
from tests.faults.serving import messages
from tests.projectdatabases import quiet

READERS = 2
LOGGED = re.compile(r"^(?P<at>\d{4}-\d\d-\d\d [\d:]{8}),\d+ (?:ERROR|CRITICAL) (?P<what>.*)", re.M)
VARYING = re.compile(r"[0-9a-f]*\d[0-9a-f-]*")
LONGEST = 160
# On a busy machine it takes a while until somebody finds out that a connection is gone.
LATE_SECONDS = 10


def unrest() -> list[str]:
    """What is still to be done, or was left behind; empty where nothing is."""
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
        # Of beat's one may always be there.
        "messages": waiting if waiting > len(app.conf.beat_schedule) else 0,
    }
    return [f"{what}: {count}" for what, count in counts.items() if count]


def finished() -> int:
    """How much work has come to an end so far."""
    rows = (model._default_manager.all() for model in (Snapshot, Restore, Proof))
    return sum(all_of.filter(finished_at__isnull=False).count() for all_of in rows)


def orphan_databases() -> set[str]:
    """Databases and roles that are no project's and no kept proof's; or that one of these lacks."""
    projects = Project.objects.filter(removed_at=None).values_list("database", flat=True)
    kept = Proof.objects.filter(is_kept=True).values_list("database", flat=True)
    return databases() ^ {*projects, *kept}


def lost_groups(fields: Sequence[Field]) -> list[str]:
    """Groups of records that are not in their database as they were committed."""
    return [
        f"bp_{field.prefix}: {group}"
        for field in fields
        for group in field.truth.differences(field.found())
    ]


def running_projects() -> list[Project]:
    """Those that are backed up."""
    return list(Project.objects.active().select_related("server"))


def difference(project: Project) -> str:
    """Why the newest backup of a project is not what its database holds now, row by row."""
    newest = Snapshot.objects.filter(project=project).order_by("-local_date").first()
    if newest is None or newest.state != Snapshot.State.COMPLETED:
        return f"{project}: its last backup is {newest and newest.state}"
    manifest = Manifest.load(snapshot_storage(), newest.manifest)
    target = main_database_of(project)
    try:
        compare_with_manifest(manifest, target, readers=READERS, on_progress=quiet)
    except ProofError as error:
        return f"{project}: {error}"
    return ""


def queue_all_proofs(most: int) -> list[UUID]:
    """A proof of every stored snapshot, sent to the workers: restored, and compared row by row.

    Args:
        most: So many of them, by chance; 0: all.
    """
    stored = Snapshot.objects.completed().order_by("?").values_list("pk", flat=True)
    queued = map(queue_proof, stored[:most] if most else stored)
    proofs = [proof.pk for proof in queued if proof is not None]
    for proof_id in proofs:
        run_proof.delay(str(proof_id))
    return proofs


def not_passed(proofs: Sequence[UUID]) -> list[str]:
    """Why some of the proofs did not pass."""
    rows = Proof.objects.filter(pk__in=proofs).exclude(state=Proof.State.PASSED)
    return [f"snapshot {row.snapshot_id}: {row.state} {row.reason}" for row in rows]


def sweep_everything() -> tuple[int, list[str]]:
    """Apply retention and sweep all projects' storage: how many went, and what storage lacks."""
    now = timezone.now()
    prune(now)
    # As they will be when they are old enough: processes were killed in the middle.
    forget_probes(now + LONGEST_TRY)
    swept = [found for pk in each_project_id() if (found := sweep_project(pk)) is not None]
    return sum(one.removed for one in swept), [key for one in swept for key in one.missing]


def orphan_objects() -> list[str]:
    """Objects in storage that nothing names: no manifest, and no row of the catalogue."""
    storage = snapshot_storage()
    manifests = list(Snapshot.objects.completed().values_list("manifest", flat=True))
    # The storage itself has a mark, and who looks whether it works has a key of its own.
    named = {MARKER, *manifests}
    for key in manifests:
        named.update(Manifest.load(storage, key).objects)
    for owner in (PROBES, *Project.objects.filter(removed_at=None).values_list("pk", flat=True)):
        named.update(item.key for item in storage.list(keys_folder(owner)))
    return sorted({item.key for item in storage.list("")} - named)


def wrong_charges() -> list[str]:
    """Restores that cost something else than their project's creation, once, and its running."""
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
    """What is wrong with the audit log."""
    broken = verify().broken
    return [broken] if broken else []


def outcomes(fields: Sequence[Field]) -> dict[str, int]:
    """How often what came of the work, and what should never come of it."""
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
    """Why snapshots were retried or failed, restores postponed or failed, and proofs given up."""
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
    """What processes logged as errors while both servers were there; ids and numbers left out."""
    found: Counter[str] = Counter()
    for log in logs:
        for line in LOGGED.finditer(log.read_text(errors="replace")):
            at = datetime.fromisoformat(line["at"]).timestamp() - outages.offset
            if not outages.touch(at - LATE_SECONDS, at + 1):
                found[VARYING.sub("…", line["what"])[:LONGEST]] += 1
    return found
