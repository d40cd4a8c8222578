"""What came of a soak: looked at when all is at rest, and judged."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from snapshots.models import Snapshot
from tests.benchmarks.harness import Goal, Samples, Say, divide, percentile
from tests.benchmarks.soak import checks
from tests.benchmarks.soak.days import pass_day
from tests.benchmarks.soak.soaking import Soak
from tests.benchmarks.soak.watching import connections, growth, quarters, surplus

WEB_THREADS = 8
# Processes that were never killed.
LASTING = ("worker0", "web", "beat")
TIMES = 5

STUCK = "work that came to no end, and what was left behind"
LOST = "groups of records that were lost or torn"
MISCOUNTED = "snapshots with other rows than there were"
DIFFERING = "last snapshots that differ from their database"
UNPROVEN = "stored snapshots that do not restore and prove"
MISSING, ORPHANS = "objects that storage lacks", "orphan objects"
DATABASES = "orphan databases and roles"
CHARGES, AUDIT = "wrong charges", "faults of the audit log"
PAGES = "pages that failed while PostgreSQL was there"
ENDED = "processes that ended by themselves"
OTHERS = "other errors"
TROUBLES = (
    *(STUCK, LOST, MISCOUNTED, DIFFERING, UNPROVEN, MISSING, ORPHANS, DATABASES, CHARGES, AUDIT),
    *(PAGES, ENDED, OTHERS),
)
COUNTS = ("changes that tracking missed", "restores failed", "proofs failed")
SHARES = {"snapshots failed": "snapshots that failed for good", "days without a backup": ""}


@dataclass
class Verdict:
    """What was found.

    Attributes:
        troubles: Sentences, by what must not be.
        figures: Numbers, by name.
    """

    samples: Samples = field(default_factory=Samples)
    troubles: dict[str, list[str]] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    def note(self, name: str, troubles: Sequence[str]) -> None:
        """Note troubles of a kind; none is worth noting, too."""
        self.troubles.setdefault(name, []).extend(troubles)


def look_at(soak: Soak, say: Say) -> Verdict:
    """Let everything come to rest, and compare all that is left."""
    verdict = Verdict()
    start = time.monotonic()
    say("waiting until all is at rest")
    verdict.note(STUCK, soak.rest())
    verdict.figures["seconds until at rest"] = round(time.monotonic() - start)
    verdict.note(LOST, checks.lost_groups(soak.fields))
    _look_at_snapshots(soak, verdict, say)
    say("sweeping storage")
    verdict.figures["objects swept in the end"], missing = checks.sweep_everything()
    verdict.note(MISSING, missing)
    verdict.note(ORPHANS, checks.orphan_objects())
    verdict.note(DATABASES, sorted(checks.orphan_databases()))
    _look_at_processes(soak, verdict)
    verdict.note(CHARGES, checks.wrong_charges())
    verdict.note(AUDIT, checks.audit_trouble())
    verdict.note(OTHERS, soak.outages.unexplained)
    verdict.figures |= {**checks.outcomes(soak.fields), **_figures(soak)}
    _sample(soak, verdict)
    return verdict


def _look_at_snapshots(soak: Soak, verdict: Verdict, say: Say) -> None:
    say("a last day without ingest and faults")
    projects = checks.running_projects()
    for project in projects:
        pass_day(project.pk)
    verdict.note(STUCK, soak.rest())
    soak.counting.look()
    verdict.note(MISCOUNTED, soak.counting.wrong)
    say(f"comparing {len(projects):,} databases with their last snapshots")
    verdict.note(DIFFERING, list(filter(None, map(checks.difference, projects))))
    proofs = checks.queue_all_proofs(soak.options.prove)
    say(f"proving {len(proofs):,} snapshots that retention has left")
    verdict.note(STUCK, soak.rest())
    verdict.note(UNPROVEN, checks.not_passed(proofs))
    verdict.figures["snapshots left in the end"] = Snapshot.objects.completed().count()
    verdict.figures["snapshots proven in the end"] = len(proofs)


def _look_at_processes(soak: Soak, verdict: Verdict) -> None:
    soak.reader.stop()
    for path in soak.reader.pages:
        soak.reader.show(path)
    verdict.note(PAGES, soak.reader.failed)
    services = [one for one in soak.portal.services if one.ended]
    verdict.note(ENDED, [f"{one.name}: {one.ended} times" for one in services])
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
        if (value := growth(soak.gauges.values.get(f"{name} MB", []))) is not None:
            samples.add(f"{name} growth", value)
    if found := quarters(soak.gauges.of_the_run("connections")):
        samples.add("more connections", found[1] - found[0])


def goals() -> list[Goal]:
    """What must be true of a soak."""
    memory = "memory of {}: last quarter vs first"
    return [
        *(Goal(name, name, 0, unit="") for name in (*TROUBLES, *COUNTS)),
        Goal("connections at rest that nobody needs", "surplus", 0, unit=""),
        *(Goal(title or name, f"{name} %", 1, 0, "%") for name, title in SHARES.items()),
        *(Goal(memory.format(name), f"{name} growth", 1.25, 1.1) for name in LASTING),
        Goal("connections: more in the last quarter", "more connections", 8, 2, ""),
    ]
