"""The measurements of the engine beside its peers; each adds a round to the samples."""

from tests.benchmarks import peers, restic
from tests.benchmarks.build import DAYS, change, newest_number, remove_added
from tests.benchmarks.samples import Samples, Say
from tests.benchmarks.setup import Setup

NEWEST_DAY = DAYS - 1
OLD_DAY = 10
DAILIES = 7

DIRECTORY = "pg_dump -Fd -j2 -Z1"
PIPED = "pg_dump -Fc -Z0 | zstd"


def full_snapshot(setup: Setup, samples: Samples, say: Say) -> None:
    """A full snapshot, the dumps, and the floor."""
    _dumps(setup, samples, say)
    say("full snapshot")
    setup.forget_snapshots()
    result = setup.snapshot()
    samples.add("full snapshot s", result["seconds"])
    samples.add("full snapshot CPU s", result["cpu"])
    samples.add("full snapshot bytes", setup.stored_bytes)
    samples.add("full snapshot peak bytes", result["peak_bytes"])
    say("binary COPY to nowhere")
    floor = peers.floor(setup.source, setup.manifest(), setup.readers)
    samples.add("binary COPY to nowhere s", floor.seconds)
    samples.add("binary COPY to nowhere CPU s", floor.cpu)


def _dumps(setup: Setup, samples: Samples, say: Say) -> None:
    for name, options in (
        (peers.CUSTOM, ("--format=custom",)),
        (DIRECTORY, ("--format=directory", "--jobs=2", "--compress=1")),
    ):
        say(name)
        with setup.scratch_path() as target:
            setup.source.cluster.settle()
            _add(samples, name, peers.dump(setup.source, target, *options))
    if not peers.has_zstd():
        samples.skipped[PIPED] = "zstd is not installed"
        return
    say(PIPED)
    with setup.scratch_path() as target:
        setup.source.cluster.settle()
        command = ["zstd", "--quiet", "-o", str(target)]
        _add(samples, PIPED, peers.dump_through(setup.source, command, target))


def _add(samples: Samples, name: str, outcome: peers.Outcome) -> None:
    samples.add(f"{name} s", outcome.seconds)
    samples.add(f"{name} CPU s", outcome.cpu)
    samples.add(f"{name} bytes", outcome.stored_bytes)


def ensure_snapshot(setup: Setup, say: Say) -> None:
    """A snapshot to build upon or to restore, where there is none yet."""
    if setup.newest is None:
        say("full snapshot")
        setup.forget_snapshots()
        setup.snapshot()


def next_snapshot(setup: Setup, samples: Samples, say: Say) -> None:
    """The snapshot after a day of ordinary change; the change is taken back afterwards."""
    ensure_snapshot(setup, say)
    repository = restic.first(setup, samples, say)
    with setup.source.connect() as connection:
        last = newest_number(connection)
        change(connection, setup.fleet, day=NEWEST_DAY, corrected_day=OLD_DAY)
        say("next snapshot")
        before = setup.stored_bytes
        result = setup.snapshot()
        samples.add("next snapshot s", result["seconds"])
        samples.add("next snapshot CPU s", result["cpu"])
        samples.add("next snapshot bytes", setup.stored_bytes - before)
        restic.following(setup, samples, say, repository)
        remove_added(connection, last)
    setup.snapshot()


def encryption(setup: Setup, samples: Samples, say: Say) -> None:
    """A full snapshot and a restore in the open and encrypted, in turns; the open ones stay."""
    for setup.encrypted, name in ((True, "encrypted"), (False, "open")):
        say(f"{name} snapshot and restore")
        setup.forget_snapshots()
        samples.add(f"{name} snapshot s", setup.snapshot()["seconds"])
        samples.add(f"{name} restore s", setup.restore()["seconds"])


def daily_snapshots(setup: Setup, samples: Samples, say: Say) -> None:
    """A full snapshot and a week of dailies; the rows are taken back afterwards."""
    say("a full snapshot and a week of dailies")
    setup.forget_snapshots()
    setup.snapshot()
    samples.add("before the dailies bytes", setup.stored_bytes)
    with setup.source.connect() as connection:
        last = newest_number(connection)
        for number in range(DAILIES):
            corrected = OLD_DAY + number * DAILIES
            change(connection, setup.fleet, day=DAYS + number, corrected_day=corrected)
            setup.snapshot()
        samples.add("after seven dailies bytes", setup.stored_bytes)
        remove_added(connection, last)
    setup.forget_snapshots()


def restore(setup: Setup, samples: Samples, say: Say) -> None:
    """A restore with its proof, a warm one of what the proof leaves, and pg_restore."""
    ensure_snapshot(setup, say)
    with setup.scratch_path() as archive:
        say("pg_restore -j2")
        peers.dump(setup.source, archive, "--format=custom")
        setup.source.cluster.settle()
        outcome = peers.restore(setup.source.cluster, archive)
        samples.add("pg_restore -j2 s", outcome.seconds)
        samples.add("pg_restore -j2 CPU s", outcome.cpu)
    say("restore and proof")
    result = setup.restore()
    samples.add("restore s", result["seconds"])
    samples.add("proof s", result["proof_seconds"])
    samples.add("warm restore s", result["warm_seconds"])
    samples.add("restore and proof CPU s", result["cpu"])
    samples.add("restore and proof peak bytes", result["peak_bytes"])


def profile(setup: Setup, samples: Samples, say: Say) -> None:
    """Clocks around the engine's parts, with one thread and with all."""
    for threads in sorted({1, setup.readers}):
        say(f"profile with {threads} threads")
        setup.forget_snapshots()
        taken = setup.snapshot(profile=True, readers=threads)
        samples.profiles[f"full snapshot, readers: {threads}"] = taken["profile"]
        restored = setup.restore(profile=True, loaders=threads)
        samples.profiles[f"restore and proof, loaders: {threads}"] = restored["profile"]
