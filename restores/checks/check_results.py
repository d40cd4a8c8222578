"""The results of checks, as a proof stores them."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from backups_portal.lib.json_types import JsonObject
from backups_portal.projects.models import Project
from restores.models import Proof
from snapshots.models import CheckTally, Snapshot

# Results that one message names; the backup's page lists them all.
NAMED = 3


class Outcome(StrEnum):
    """The outcome of a check."""

    PASSED = "passed"
    FAILED = "failed"
    # It says nothing about the backup: its subject is missing, or it took too long.
    NOT_RUN = "not_run"

    @property
    def label(self) -> str:
        """Return its label on pages."""
        return {"passed": "Passed", "failed": "Failed", "not_run": "Could not be run"}[self]


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes:
        sentence: The check as it read then; it may be changed or removed later.
        finding: What was found, or why it could not be run; a clause without a full stop.
    """

    check_id: str
    sentence: str
    outcome: Outcome
    finding: str

    def __str__(self) -> str:
        return f"“{self.sentence}”: {self.finding}."

    def as_json(self) -> JsonObject:
        """Return JSON values."""
        return {
            "check": self.check_id,
            "sentence": self.sentence,
            "outcome": str(self.outcome),
            "finding": self.finding,
        }

    @classmethod
    def from_json(cls, found: JsonObject) -> Self:
        """Parse what `as_json` returned."""
        outcome = Outcome(found["outcome"])
        return cls(found["check"], found["sentence"], outcome, found["finding"])


def tally_of(results: Iterable[CheckResult]) -> CheckTally:
    """Count results by their outcome."""
    outcomes = [result.outcome for result in results]
    return CheckTally(
        len(outcomes), outcomes.count(Outcome.FAILED), outcomes.count(Outcome.NOT_RUN)
    )


def results_of(snapshot: Snapshot) -> list[CheckResult]:
    """Return the check results of a snapshot's newest proof, worst first."""
    if snapshot.checks is None:
        return []
    passed = Proof.objects.filter(snapshot=snapshot, state=Proof.State.PASSED)
    stored = passed.order_by("-finished_at").values_list("check_results", flat=True).first()
    order = [Outcome.FAILED, Outcome.NOT_RUN, Outcome.PASSED]
    found = [CheckResult.from_json(one) for one in stored or []]
    return sorted(found, key=lambda result: order.index(result.outcome))


def bad_in_words(results: Iterable[CheckResult]) -> str:
    """Write the results of checks that did not pass, failures first."""
    bad = [result for result in results if result.outcome != Outcome.PASSED]
    bad.sort(key=lambda result: result.outcome != Outcome.FAILED)
    more = [f"And {len(bad) - NAMED} more."] if len(bad) > NAMED else []
    return " ".join([*map(str, bad[:NAMED]), *more])


def newest_results(project: Project) -> dict[tuple[str, str], CheckResult]:
    """Return the newest proof's results by check id and sentence."""
    proven = Snapshot.objects.completed().filter(
        project=project, verdict=Snapshot.Verdict.PASSED, checks_made__gt=0
    )
    newest = proven.order_by("-proven_at").first()
    found = results_of(newest) if newest else []
    return {(result.check_id, result.sentence): result for result in found}
