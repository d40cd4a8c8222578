"""The machine that a benchmark runs on, and what processes use of it."""

import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
# Whose the databases are; no portal's.
INSTALLATION = "be" * 8


@dataclass(frozen=True)
class Machine:
    """What figures must be read with; `load` is the one-minute average before the first round."""

    processor: str
    cores: int
    memory_gb: float
    system: str
    python: str
    postgresql: str
    load: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def describe(postgresql: str) -> Machine:
    """This machine, now."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_gb=round(PAGE * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        postgresql=postgresql,
        load=round(os.getloadavg()[0], 2),
    )


def _processor() -> str:
    try:
        lines = (PROC / "cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for process in found:
        try:
            for tasks in (PROC / str(process) / "task").glob("*/children"):
                found += [int(child) for child in tasks.read_text().split()]
        except OSError:  # it has ended meanwhile
            continue
    return found


def resident_bytes(pid: int) -> int:
    """Memory that a process and its descendants hold; shared pages count once per process."""
    total = 0
    for process in tree(pid):
        try:
            total += int((PROC / str(process) / "statm").read_text().split()[1]) * PAGE
        except (OSError, IndexError):
            continue
    return total


def own_peak_bytes() -> int:
    """The most memory that this process has held (VmHWM; what getrusage says includes its parent's
    at the time of the fork)."""
    for line in (PROC / "self" / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the system does not say how much memory a process has held")


def peak_growth() -> Callable[[], int]:
    """What tells the most bytes that this process has held since, beyond those of now."""
    # The system forgets the peak of before.
    (PROC / "self" / "clear_refs").write_text("5")
    before = own_peak_bytes()
    return lambda: own_peak_bytes() - before


def tree_cpu_seconds(pid: int) -> float:
    """Processor time of a process, its descendants, and those of them that it has waited for."""
    ticks = 0
    for process in tree(pid):
        try:
            fields = (PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # Own time; and, of the first only, that of children that have ended.
        ticks += sum(map(int, fields[11:13])) + sum(map(int, fields[13:15]))
    return ticks / TICKS


def folder_bytes(folder: Path) -> int:
    """Size of all files below a folder, or of one file."""
    if folder.is_file():
        return folder.stat().st_size
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
