"""What came of a soak: looked at when all is at rest, and judged."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks import soakchecks as checks
from tests.benchmarks.goals import Goal
from tests.benchmarks.pages import percentile
from tests.benchmarks.samples import Samples, Say, divide
from tests.benchmarks.soakdays import pass_day
from tests.benchmarks.soakrunning import Soak
from tests.benchmarks.soakwatching import connections, growth, quarters, surplus

WEB_THREADS = 8
# Processes that were never killed.
LASTING = ("worker0", "web", "beat")
TIMES = 5

STUCK = "work that came to no end, and what was left behind"
TROUBLES = (
    STUCK,
    "groups of records that were lost or torn",
    "snapshots with other rows than there were",
    "last snapshots that differ from their database",
    "stored snapshots that do not restore and prove",
    "objects that storage lacks",
    "orphan objects",
    "orphan databases and roles",
    "wrong charges",
    "faults of the audit log",
    "pages that failed while PostgreSQL was there",
    "processes that ended by themselves",
    "other errors",
)
COUNTS = ("changes that tracking missed", "restores failed", "proofs failed")


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
        """Troubles of a kind; none is worth noting, too."""
        self.troubles.setdefault(name, []).extend(troubles)


def look_at(soak: Soak, say: Say) -> Verdict:
    """Let everything come to rest, and compare all that is left."""
    verdict = Verdict()
    start = time.monotonic()
    say("waiting until all is at rest")
    verdict.note(STUCK, soak.rest())
    verdict.figures["seconds until at rest"] = round(time.monotonic() - start)
    verdict.note("groups of records that were lost or torn", checks.lost_groups(soak.fields))
    _look_at_snapshots(soak, verdict, say)
    _look_at_storage(verdict, say)
    _look_at_processes(soak, verdict)
    verdict.note("wrong charges", checks.wrong_charges())
    verdict.note("faults of the audit log", checks.audit_trouble())
    verdict.note("other errors", soak.outages.unexplained)
    verdict.figures |= {**checks.outcomes(soak.fields), **_figures(soak)}
    _sample(soak, verdict)
    return verdict


def _look_at_snapshots(soak: Soak, verdict: Verdict, say: Say) -> None:
    say("a last day without ingest and faults")
    projects = checks.running_projects()
    for project_id in projects:
        pass_day(project_id)
    verdict.note(STUCK, soak.rest())
    soak.counting.look()
    verdict.note("snapshots with other rows than there were", soak.counting.wrong)
    say(f"comparing {len(projects):,} databases with their last snapshots")
    verdict.note("last snapshots that differ from their database", checks.differing(projects))
    proofs = checks.queue_all_proofs(soak.options.prove)
    say(f"proving {len(proofs):,} snapshots that retention has left")
    verdict.note(STUCK, soak.rest())
    verdict.note("stored snapshots that do not restore and prove", checks.not_passed(proofs))
    verdict.figures["snapshots left in the end"] = checks.stored()
    verdict.figures["snapshots proven in the end"] = len(proofs)


def _look_at_storage(verdict: Verdict, say: Say) -> None:
    say("sweeping storage")
    removed, missing = checks.sweep_everything()
    verdict.note("objects that storage lacks", missing)
    verdict.note("orphan objects", checks.orphan_objects())
    verdict.note("orphan databases and roles", sorted(checks.orphan_databases()))
    verdict.figures["objects swept in the end"] = removed


def _look_at_processes(soak: Soak, verdict: Verdict) -> None:
    soak.reader.stop()
    for path in soak.reader.pages:
        soak.reader.show(path)
    verdict.note("pages that failed while PostgreSQL was there", soak.reader.failed)
    verdict.note(
        "processes that ended by themselves",
        [f"{one.name}: {one.ended} times" for one in soak.portal.services if one.ended],
    )
    found = []
    for _ in range(TIMES):
        # Beat's tasks have connections for a moment.
        found.append(connections(soak.servers))
        time.sleep(1)
    least = min(found, key=lambda one: surplus(one, threads_of_web=WEB_THREADS))
    verdict.samples.add("surplus", surplus(least, threads_of_web=WEB_THREADS))
    verdict.figures["connections at rest"] = least.total


def _figures(soak: Soak) -> dict[str, Any]:
    seconds = soak.reader.seconds
    return {
        "days of projects": soak.days.passed,
        "seconds that a day waited for the machine": round(
            divide(soak.days.late, soak.days.passed) or 0, 1
        ),
        "restores asked for": soak.restores.asked,
        "restored projects shut down": soak.restores.shut_down,
        "snapshots whose rows were counted": soak.counting.seen,
        "pages shown": len(seconds),
        "pages that met a PostgreSQL that was away": soak.reader.excused,
        "95 % of pages within ms": round(percentile(seconds) or 0),
        **{f"killed: {fault}": count for fault, count in soak.kills.items()},
        **{f"ingest: {what}": count for what, count in soak.written.items()},
    }


def _sample(soak: Soak, verdict: Verdict) -> None:
    samples, figures = verdict.samples, verdict.figures
    for name, troubles in verdict.troubles.items():
        samples.add(name, len(troubles))
    for name in COUNTS:
        samples.add(name, figures[name])
    completed = figures["snapshots completed"]
    for name in ("snapshots failed", "days without a backup"):
        samples.add(f"{name} %", 100 * (divide(figures[name], completed) or 0))
    for name in LASTING:
        if (value := growth(soak.gauges.values.get(f"{name} MB", []))) is not None:
            samples.add(f"{name} growth", value)
    if found := quarters(soak.gauges.of_the_run("connections")):
        samples.add("more connections", found[1] - found[0])


def goals() -> list[Goal]:
    """What must be true of a soak."""

    def value(name: str) -> Callable[[Samples], float | None]:
        return lambda samples: samples.median(name)

    return [
        *(Goal(name, value(name), 0, None, "") for name in (*TROUBLES, *COUNTS)),
        Goal("connections at rest that nobody needs", value("surplus"), 0, None, ""),
        Goal("snapshots that failed for good", value("snapshots failed %"), 1, 0, "%"),
        Goal("days without a backup", value("days without a backup %"), 1, 0, "%"),
        *(
            Goal(
                f"memory of {name}: last quarter vs first",
                value(f"{name} growth"),
                1.25,
                1.1,
            )
            for name in LASTING
        ),
        Goal("connections: more in the last quarter", value("more connections"), 8, 2, ""),
    ]
