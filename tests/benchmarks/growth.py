"""How the engine's times grow with the size of a project."""

from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.benchmarks import measure
from tests.benchmarks.samples import Samples, Say
from tests.benchmarks.setup import Setup

GROWING = ("full snapshot", "restore", "proof")
PEAKS = ("full snapshot peak bytes", "restore and proof peak bytes")
# Time per million rows counts as flat within this share of the median size's.
FLAT = 0.15


@dataclass(frozen=True)
class Size:
    """The medians of one size."""

    rows: int
    seconds: dict[str, float]
    peak_bytes: float

    def per_million(self, name: str) -> float:
        """Seconds per million rows."""
        return self.seconds[name] / self.rows * 1_000_000


def measure_size(setup: Setup, rounds: int, say: Say) -> Size:
    """The engine alone, without peers."""
    samples = Samples()
    for _ in range(rounds):
        say(f"{setup.rows:,} rows: full snapshot")
        setup.forget_snapshots()
        taken = setup.snapshot()
        say(f"{setup.rows:,} rows: restore and proof")
        restored = setup.restore()
        samples.add("full snapshot", taken["seconds"])
        samples.add("restore", restored["seconds"])
        samples.add("proof", restored["proof_seconds"])
        samples.add("warm restore s", restored["warm_seconds"])
        samples.add(PEAKS[0], taken["peak_bytes"])
        samples.add(PEAKS[1], restored["peak_bytes"])
        measure.next_snapshot(setup, samples, say)
    return Size(
        setup.rows,
        {name: median(samples.values[name]) for name in GROWING}
        | {
            name: median(values)
            for name in ("next snapshot s", "warm restore s")
            if (values := samples.values.get(name))
        },
        max(value for name in PEAKS for value in samples.values[name]),
    )


def flatness(sizes: list[Size]) -> dict[str, float]:
    """By task: the largest distance of a size from the middle one, in time per million rows."""
    found = {}
    for name in GROWING:
        values = [size.per_million(name) for size in sizes]
        middle = median(values)
        found[name] = max(abs(value / middle - 1) for value in values)
    return found


def as_dict(sizes: list[Size]) -> dict[str, Any]:
    """For JSON."""
    return {
        "sizes": [
            {
                "rows": size.rows,
                "seconds": size.seconds,
                "seconds_per_million_rows": {name: size.per_million(name) for name in GROWING},
                "peak_bytes": size.peak_bytes,
            }
            for size in sizes
        ],
        "flatness": flatness(sizes),
        "flat": {name: share <= FLAT for name, share in flatness(sizes).items()},
    }
