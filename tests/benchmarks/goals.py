"""What the engine is meant to reach, line by line, and whether it did."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.benchmarks import measure
from tests.benchmarks.peers import CUSTOM
from tests.benchmarks.samples import Samples, divide

MEGABYTE = 1_000_000
# A slowdown below this is noise, and no number to divide by.
SMALLEST_SLOWDOWN = 0.01


@dataclass(frozen=True)
class Goal:
    """A line of the table; the value is a ratio, or in the unit."""

    name: str
    value: Callable[[Samples], float | None]
    must: float
    aim: float | None
    unit: str = "x"
    more_is_better: bool = False

    def judge(self, samples: Samples) -> "Line":
        """The line, with what was measured."""
        value = self.value(samples)
        return Line(self, value, self._holds(value, self.must), self._holds(value, self.aim))

    def _holds(self, value: float | None, bound: float | None) -> bool | None:
        if value is None or bound is None:
            return None
        return value >= bound if self.more_is_better else value <= bound


@dataclass(frozen=True)
class Line:
    """A goal and what became of it; None where it was not measured."""

    goal: Goal
    value: float | None
    reached_must: bool | None
    reached_aim: bool | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.goal.name,
            "value": self.value,
            "unit": self.goal.unit,
            "must": self.goal.must,
            "aim": self.goal.aim,
            "more_is_better": self.goal.more_is_better,
            "reached_must": self.reached_must,
            "reached_aim": self.reached_aim,
        }


def _faster_than(*peers: str, engine: str) -> Callable[[Samples], float | None]:
    return lambda samples: divide(
        samples.best(*(f"{peer} s" for peer in peers)), samples.median(f"{engine} s")
    )


def _of(above: str, below: str) -> Callable[[Samples], float | None]:
    return lambda samples: samples.ratio(above, below)


def _percent(above: str, below: str) -> Callable[[Samples], float | None]:
    def value(samples: Samples) -> float | None:
        ratio = samples.ratio(above, below)
        return None if ratio is None else 100 * ratio

    return value


def _encryption_percent(what: str) -> Callable[[Samples], float | None]:
    def value(samples: Samples) -> float | None:
        ratio = samples.ratio(f"encrypted {what} s", f"open {what} s")
        return None if ratio is None else 100 * (ratio - 1)

    return value


def _trigger_percent(samples: Samples) -> float | None:
    ratio = samples.median("batch with by without triggers")
    return None if ratio is None else 100 * (ratio - 1)


def _slowdown_ratio(samples: Samples) -> float | None:
    engine = samples.ratio("batch during snapshot s", "batch alone s")
    peer = samples.ratio("batch during pg_dump s", "batch alone s")
    if engine is None or peer is None:
        return None
    return max(engine - 1, 0) / max(peer - 1, SMALLEST_SLOWDOWN)


def _peak_megabytes(samples: Samples) -> float | None:
    peaks = [
        *samples.values.get("full snapshot peak bytes", []),
        *samples.values.get("restore and proof peak bytes", []),
    ]
    return max(peaks) / MEGABYTE if peaks else None


FULL = "full snapshot"
GOALS: tuple[Goal, ...] = (
    Goal(f"{FULL} vs {CUSTOM}", _faster_than(CUSTOM, engine=FULL), 2.5, 4, more_is_better=True),
    Goal(f"{FULL} vs {CUSTOM}: bytes", _of(f"{FULL} bytes", f"{CUSTOM} bytes"), 0.5, 0.3),
    Goal(
        f"{FULL} vs the best of -Fd -j2 -Z1 and -Z0 | zstd",
        _faster_than(measure.DIRECTORY, measure.PIPED, engine=FULL),
        1.0,
        1.5,
        more_is_better=True,
    ),
    Goal(f"{FULL} vs binary COPY to nowhere", _of(f"{FULL} s", "binary COPY to nowhere s"), 3.5, 2),
    Goal("next snapshot vs full: time", _percent("next snapshot s", f"{FULL} s"), 10, 4, "%"),
    Goal(
        "next snapshot vs full: bytes",
        _percent("next snapshot bytes", f"{FULL} bytes"),
        4,
        2,
        "%",
    ),
    Goal(
        "full and seven dailies vs full: bytes",
        _of("after seven dailies bytes", "before the dailies bytes"),
        1.3,
        1.12,
    ),
    Goal(
        "restore vs pg_restore -j2",
        _faster_than("pg_restore -j2", engine="restore"),
        1.6,
        2.5,
        more_is_better=True,
    ),
    Goal("warm restore", lambda samples: samples.median("warm restore s"), 2, 1, "s"),
    Goal("proof on top of a restore", _percent("proof s", "restore s"), 35, 20, "%"),
    Goal(
        "triggers on ingest, batches of 1,000",
        _trigger_percent,
        15,
        8,
        "%",
    ),
    Goal(f"slowdown of ingest: snapshot vs {CUSTOM}", _slowdown_ratio, 1, 0.5),
    Goal(
        "encryption on top of a snapshot",
        _encryption_percent("snapshot"),
        10,
        5,
        "%",
    ),
    Goal(
        "encryption on top of a restore",
        _encryption_percent("restore"),
        10,
        5,
        "%",
    ),
    Goal("peak memory of a worker", _peak_megabytes, 600, None, "MB"),
)


def judge(samples: Samples, goals: Sequence[Goal] = GOALS) -> list[Line]:
    """All lines that were measured."""
    lines = [goal.judge(samples) for goal in goals]
    return [line for line in lines if line.value is not None]
