"""An operator's day with docker-compose and an engine: build, start, back up, restore, update.

It takes minutes, and needs root, docker.io, docker-compose and redis-tools (all Debian's). So it
runs only if TEST_COMPOSE is set, as `.ci/run` does in parallel with all other tests:
`TEST_COMPOSE=1 python -m pytest -n 0 tests/compose`. A folder instead of 1 keeps the builds for the
next run.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.compose.engine import EngineStartError, own_engine
from tests.compose.installation import EMAIL, PASSWORD, Installation, wait_until
from tests.compose.versions import check_out_previous, check_out_this

PROGRAMS = ("dockerd", "docker", "docker-compose", "redis-cli", "setpriv")
PORTAL = ("web", "api", "worker", "system", "beat")
SERVICES = ("postgres", "redis", *PORTAL)
RECORDS = 1_000
NEW_FILES = ("/new", "/etc/new", "/usr/bin/new")
# The limit of the portal's own part; python:3.12-slim has 125 MB itself.
MAX_IMAGE_BYTES = 325_000_000

ASKED = os.environ.get("TEST_COMPOSE", "")
if not ASKED:
    pytest.skip("set TEST_COMPOSE=1 to run it: it takes minutes", allow_module_level=True)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    # A socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="compose-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def installation(place: Path) -> Iterator[Installation]:
    """The previous version, with an account, a project and its data, updated to this one."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    assert not missing, f"apt-get install docker.io docker-compose redis-tools: {missing}"
    checkout = place / "portal"
    checkout.mkdir()
    layers = place / "layers" if ASKED == "1" else Path(ASKED)
    with ExitStack() as stack:
        try:
            engine = stack.enter_context(own_engine(place, layers))
        except EngineStartError as error:
            pytest.skip(f"no engine starts here: {error}")
        engine.make_images(place)
        had_one = check_out_previous(checkout)
        if not had_one:
            check_out_this(checkout)
        made = Installation(engine, checkout)
        made.configure()
        made.up(build=True)
        made.manage(f"create_account {EMAIL}", PASSWORD + "\n")
        made.manage(f'create_project "Cold Chain" --owner {EMAIL}')
        send_records(made)
        if had_one:
            check_out_this(checkout)
            made.shell(".docker/make-secrets.sh")
            made.up(build=True)
        yield made


def send_records(installation: Installation) -> None:
    token = installation.profile_token("Cold Chain")
    device = installation.ask_api("POST", "/device", token, {"name": "Freezer", "type": "mutable"})
    records = [{"variable": "temperature", "value": number} for number in range(RECORDS)]
    installation.ask_api("POST", "/data", device["token"], records)


def count_records(installation: Installation, project: str) -> int:
    token = installation.profile_token(project)
    (device,) = installation.ask_api("GET", "/device", token)
    amount = installation.ask_api("GET", f"/device/{device['id']}/data_amount", token)
    return int(amount)


def state_of(installation: Installation, snapshot: str) -> str:
    return installation.run_inside(
        "postgres",
        "psql --username=postgres --tuples-only --no-align"
        f" --command=\"SELECT state FROM snapshots_snapshot WHERE id = '{snapshot}'\""
        " backups_portal",
    ).strip()


def test_data_of_the_previous_version_are_there(installation: Installation) -> None:
    assert count_records(installation, "Cold Chain") == RECORDS
    assert "[ ]" not in installation.manage("showmigrations --list")


def test_a_backup_is_taken_and_restored(installation: Installation) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="minutes")
    queued = installation.manage(f"run_schedule --at {tomorrow}")
    (snapshot,) = re.findall(r"queued snapshot (\S+)", queued)
    wait_until(
        lambda: state_of(installation, snapshot), is_right=lambda state: state == "completed"
    )
    installation.manage(f'restore_snapshot {snapshot} --name "Cold Again" --accept-charges')
    assert count_records(installation, "Cold Again") == RECORDS


def test_every_service_is_healthy(installation: Installation) -> None:
    for service in SERVICES:
        wait_until(
            lambda service=service: installation.health(service),
            is_right=lambda health: health == "healthy",
        )


def test_nothing_runs_as_root(installation: Installation) -> None:
    for service in SERVICES:
        container = installation.container(service)
        listed = installation.engine.run("top", container, "-eo", "pid,user,args").splitlines()
        users = {line.split()[1] for line in listed[1:]}
        assert users
        assert "root" not in users, listed


@pytest.mark.parametrize("service", [*PORTAL, "redis"])
def test_a_service_has_no_rights_and_nothing_to_write_into(
    installation: Installation, service: str
) -> None:
    host = installation.inspect(service)["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    each = " ".join(NEW_FILES)
    tried = installation.run_inside(
        service, f"for path in {each}; do (: >$path) 2>&1 && echo written; done; true"
    )
    assert "written" not in tried
    assert len(re.findall(r"Read-only|Permission", tried)) == len(NEW_FILES), tried
    status = installation.run_inside(service, "cat /proc/1/status")
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)


def test_no_secret_is_in_an_environment_or_on_a_command_line(installation: Installation) -> None:
    secrets = {
        path.read_text().strip() for path in (installation.checkout / ".secrets").iterdir()
    } - {""}
    for service in SERVICES:
        described = installation.inspect(service)
        shown = json.dumps(described)
        shown += installation.engine.run("top", described["Id"], "-eo", "pid,args")
        assert [secret for secret in secrets if secret in shown] == [], service


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_stops_when_it_is_told_to_and_comes_back(
    installation: Installation, service: str
) -> None:
    container = installation.container(service)
    installation.engine.run("stop", container)
    # A killed container would have exit code 137.
    assert installation.inspect(service)["State"]["ExitCode"] == 0
    installation.engine.run("start", container)
    installation.wait_until_ready()


def test_data_are_there_after_all_have_stopped(installation: Installation) -> None:
    installation.shell("docker-compose down")
    installation.up()
    assert count_records(installation, "Cold Chain") == RECORDS


def test_the_image_is_small(installation: Installation) -> None:
    sizes = {
        name: json.loads(installation.engine.run("inspect", name))[0]["Size"]
        for name in ("backups-portal", "python:3.12-slim")
    }
    assert sizes["backups-portal"] - sizes["python:3.12-slim"] <= MAX_IMAGE_BYTES, sizes
