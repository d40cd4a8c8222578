"""The machine that a benchmark runs on, and its use by processes."""

import os
import platform
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.processes import tree

OWN = Path("/proc/self")
# The benchmark databases' installation, which is no real portal's.
INSTALLATION = "be" * 8


@dataclass(frozen=True)
class Machine:
    """The conditions of the figures; `load` is the one-minute average before the first round."""

    processor: str
    cores: int
    memory_gb: float
    system: str
    python: str
    postgresql: str
    load: float

    @classmethod
    def now(cls, postgresql: str) -> "Machine":
        return cls(
            processor=_processor(),
            cores=os.cpu_count() or 1,
            memory_gb=round(psutil.virtual_memory().total / 2**30, 1),
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            python=platform.python_version(),
            postgresql=postgresql,
            load=round(os.getloadavg()[0], 2),
        )

    def __str__(self) -> str:
        return (
            f"{self.cores} x {self.processor}, {self.memory_gb} GB, {self.system}; "
            f"PostgreSQL {self.postgresql}, Python {self.python}; load {self.load} at start"
        )


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def resident_bytes(pid: int) -> int:
    total = 0
    for process in tree(pid):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def tree_cpu_seconds(pid: int) -> float:
    """Return the processor time of a process, its descendants and its reaped children."""
    total = 0.0
    for process in tree(pid):
        with suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total


def own_peak_bytes() -> int:
    """Return this process's peak memory (getrusage would include its parent's at the fork)."""
    status = (OWN / "status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split(maxsplit=1)[0])


def peak_growth() -> Callable[[], int]:
    """Return a function that reports how far peak memory has grown since now."""
    # This resets the kernel's earlier peak.
    (OWN / "clear_refs").write_text("5")
    before = own_peak_bytes()
    return lambda: own_peak_bytes() - before


def folder_bytes(folder: Path) -> int:
    files = [folder] if folder.is_file() else folder.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())
