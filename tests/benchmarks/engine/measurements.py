"""The measurements of the engine and its peers; each adds a round to the samples."""

from collections.abc import Callable

from tests.benchmarks.engine import peers
from tests.benchmarks.engine.peers import CUSTOM, DIRECTORY, PIPED, RESTIC, Outcome
from tests.benchmarks.engine.setup import Setup
from tests.benchmarks.fleet import DAYS, change, taken_back
from tests.benchmarks.harness import Samples, Say

NEWEST_DAY = DAYS - 1
OLD_DAY = 10
DAILIES = 7


def full_snapshot(setup: Setup, samples: Samples, say: Say) -> None:
    if setup.with_peers:
        _dumps(setup, samples, say)
    say("full snapshot")
    result = setup.snapshot(full=True)
    samples.record(
        "full snapshot",
        s=result["seconds"],
        CPU_s=result["cpu"],
        bytes=setup.stored_bytes,
        peak_bytes=result["peak_bytes"],
    )
    if setup.with_peers:
        say("binary COPY to nowhere")
        floor = peers.floor(setup)
        samples.record("binary COPY to nowhere", s=floor.seconds, CPU_s=floor.cpu)


def _dumps(setup: Setup, samples: Samples, say: Say) -> None:
    def dump(*options: str) -> Callable[[], Outcome]:
        return lambda: peers.dump(setup, target, *options)

    dumps = {
        CUSTOM: dump("--format=custom"),
        DIRECTORY: dump("--format=directory", "--jobs=2", "--compress=1"),
        PIPED: lambda: peers.dump_into_zstd(setup, target),
    }
    if not peers.is_installed("zstd"):
        samples.skipped[PIPED] = "zstd is not installed"
        del dumps[PIPED]
    for name, take in dumps.items():
        say(name)
        with setup.cluster.scratch_path() as target:
            found = take()
        samples.record(name, s=found.seconds, CPU_s=found.cpu, bytes=found.stored_bytes)


def ensure_snapshot(setup: Setup, say: Say) -> None:
    """Take a snapshot to build upon or to restore, if none exists."""
    if setup.newest is None:
        say("full snapshot")
        setup.snapshot(full=True)


def next_snapshot(setup: Setup, samples: Samples, say: Say) -> None:
    """Measure the snapshot after a day of ordinary change, which is reverted afterwards."""
    ensure_snapshot(setup, say)
    with setup.connect() as connection, setup.cluster.scratch_path() as repository:
        restic = None
        if setup.with_peers and peers.is_installed("restic"):
            restic = peers.Restic(setup, repository)
            _add_restic(restic, "first", samples, say)
        elif setup.with_peers:
            samples.skipped[RESTIC] = "restic is not installed"
        with taken_back(connection):
            change(connection, setup.fleet, day=NEWEST_DAY, corrected_day=OLD_DAY)
            say("next snapshot")
            before, result = setup.stored_bytes, setup.snapshot()
            new = setup.stored_bytes - before
            samples.record("next snapshot", s=result["seconds"], CPU_s=result["cpu"], bytes=new)
            if restic:
                _add_restic(restic, "next", samples, say)
    setup.snapshot()


def _add_restic(restic: peers.Restic, which: str, samples: Samples, say: Say) -> None:
    say(f"{RESTIC}, {which}")
    found = restic.back_up()
    samples.record(f"{RESTIC}, {which}", s=found.seconds, bytes=found.stored_bytes)


def encryption(setup: Setup, samples: Samples, say: Say) -> None:
    """Time snapshots and restores in plain and encrypted, in turns; the plain ones stay."""
    for setup.encrypted, name in ((True, "encrypted"), (False, "open")):
        say(f"{name} snapshot and restore")
        samples.record(f"{name} snapshot", s=setup.snapshot(full=True)["seconds"])
        samples.record(f"{name} restore", s=setup.restore()["seconds"])


def daily_snapshots(setup: Setup, samples: Samples, say: Say) -> None:
    say("a full snapshot and a week of dailies")
    setup.snapshot(full=True)
    samples.record("before the dailies", bytes=setup.stored_bytes)
    with setup.connect() as connection, taken_back(connection):
        for number in range(DAILIES):
            corrected = OLD_DAY + number * DAILIES
            change(connection, setup.fleet, day=DAYS + number, corrected_day=corrected)
            setup.snapshot()
        samples.record("after seven dailies", bytes=setup.stored_bytes)
    setup.forget_snapshots()


def restore(setup: Setup, samples: Samples, say: Say) -> None:
    ensure_snapshot(setup, say)
    if setup.with_peers:
        say("pg_restore -j2")
        with setup.cluster.scratch_path() as archive:
            peers.dump(setup, archive, "--format=custom")
            outcome = peers.restore(setup, archive)
        samples.record("pg_restore -j2", s=outcome.seconds, CPU_s=outcome.cpu)
    say("restore")
    result = setup.restore()
    samples.record("restore", s=result["seconds"], CPU_s=result["cpu"])
    say("restore and proof")
    result = setup.prove()
    samples.record(
        "restore and proof",
        s=result["seconds"],
        CPU_s=result["cpu"],
        peak_bytes=result["peak_bytes"],
    )
    samples.record("warm restore", s=result["warm_seconds"])


def profile(setup: Setup, samples: Samples, say: Say) -> None:
    for threads in sorted({1, setup.readers}):
        say(f"profile with {threads} threads")
        taken = setup.snapshot(full=True, profile=True, threads=threads)
        samples.profiles[f"full snapshot, readers: {threads}"] = taken["profile"]
        restored = setup.prove(profile=True, threads=threads)
        samples.profiles[f"restore and proof, loaders: {threads}"] = restored["profile"]
