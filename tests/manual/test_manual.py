"""Every command that the manual prints works when an operator runs them in order."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands, load_command_class

from backups_portal.demo.ports import free_port
from backups_portal.demo.postgres import binaries
from backups_portal.demo.system_user import make_reachable, service_user
from tests.conftest import database_of_this_test
from tests.manual.pages import PAGES, ROOT, fence, printed

COMPOSE = "docker-compose exec"
MANAGE = f"{COMPOSE} web python manage.py"
# Commands that other tests run, and where.
ELSEWHERE = {
    "python3 -m venv --upgrade-deps .venv && ": ".ci/run and .ci/smoke run both lines",
    ".ci/run": "is what runs this test",
    "docker-compose logs postgres": "an engine's own, without a command of ours",
    "docker-compose up --detach --scale beat=0": "an engine's own option",
    "docker-compose run --rm worker python manage.py undo_deletions": (
        "tests/snapshots/object_lock/test_deletion_undo.py"
    ),
    f"{MANAGE} …": "stands for all commands, whose words are tried below",
    ".docker/make-secrets.sh .docker/kubernetes/secrets": "tests/kubernetes",
    "kubectl apply --kustomize .docker/kubernetes": "tests/kubernetes",
    "api=https://portal.example.com/api/v1/projects/": "tests/portal_api/test_restores.py",
    'records="$api/$backup/devices/': "tests/portal_api/test_backup_records.py",
    "checks=https://portal.example.com/api/v1/": "tests/portal_api/test_backup_records.py",
    "evidence=https://portal.example.com/api/v1/": "tests/portal_api/test_backup_evidence.py",
    "jq -j .payload evidence.json": "tests/evidence/test_commands.py",
}
RUN_HERE = (
    "cp .env.example .env",
    ".docker/make-secrets.sh",
    "docker-compose up --detach --build",
    "docker-compose up --detach --force-recreate",
    f"{MANAGE} create_account you@example.com",
    f'{MANAGE} create_project "Cold Chain" --owner you@example.com',
    f"{COMPOSE} postgres /docker-entrypoint-initdb.d/close-large-objects.sh",
    f"{COMPOSE} -T postgres pg_dump",
    "docker-compose up --detach postgres",
    "head -c 24",
    "rm -f .secrets/database_password",
    "(set -a; . var/demo.env;",
)


def test_every_command_of_the_manual_is_run_by_a_test() -> None:
    known = (*RUN_HERE, *ELSEWHERE)
    assert [one for one in printed() if not one.text.startswith(known)] == []
    unused = [text for text in known if not any(one.text.startswith(text) for one in printed())]
    assert unused == []


Run = Callable[..., str]


@pytest.fixture
def state() -> Iterator[Path]:
    """The engine's volumes: the socket's path must be short, and other users reach it."""
    folder = Path(tempfile.mkdtemp(prefix="engine-", dir="/tmp"))
    user, programs = service_user(folder / "volume"), binaries().folder
    if user:
        user.take(folder)
        make_reachable(user, (programs / "postgres", folder), lambda line: None)
    given = {
        "port": str(free_port()),
        "redis_url": settings.REDIS_URL,
        "programs": str(programs),
    }
    (folder / "engine.json").write_text(json.dumps(given))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def run(state: Path, tmp_path: Path) -> Iterator[Run]:
    """Runs a command in a fresh checkout, with an engine that has no containers."""
    checkout = tmp_path / "checkout"
    for name in ("docker-compose.yml", ".env.example", ".docker"):
        target = checkout / name
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, target)
    sql = checkout / "backups_portal" / "projectdb" / "large_objects.sql"
    sql.parent.mkdir(parents=True)
    shutil.copy(ROOT / sql.relative_to(checkout), sql)
    program = tmp_path / "bin" / "docker-compose"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.manual.engine "$@"\n')
    program.chmod(0o755)
    environment = {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ENGINE_STATE": str(state),
        "HOME": str(tmp_path),
    }

    def in_checkout(command: str, typed: str = "") -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=checkout,
            env=environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    yield in_checkout
    in_checkout("docker-compose down")


ACCOUNTS = f"{COMPOSE} -T postgres psql --username=postgres --tuples-only --no-align \
    --command='SELECT email FROM accounts_account' backups_portal"


def test_an_installation_a_new_password_a_dump_and_the_way_back(run: Run, state: Path) -> None:
    """The README's steps, a dump, the loss of everything, and the recipe exactly as printed."""
    run("cp .env.example .env")
    run("sed -i 's/^ALLOWED_HOSTS=$/ALLOWED_HOSTS=portal.example.com/' .env")
    assert "made .secrets/secret_key" in run(".docker/make-secrets.sh")
    # Operators write secrets that only they know, such as the mail server's, without being root.
    assert run("stat --format=%a .secrets/email_url .secrets/secret_key") == "644\n644\n"
    run("docker-compose up --detach --build")
    run(f"{MANAGE} create_account you@example.com", "a long enough passphrase\n")
    made = run(f'{MANAGE} create_project "Cold Chain" --owner you@example.com')
    assert "cold-chain" in made
    run(f"{COMPOSE} postgres /docker-entrypoint-initdb.d/close-large-objects.sh")
    assert "you@example.com" in run(ACCOUNTS)

    before = run("cat .secrets/database_password")
    port = json.loads((state / "engine.json").read_text())["port"]
    rotation = fence("operating.md", "rm -f .secrets/database_password")
    # The local address of the host in compose's network.
    here = f"< <(sed 's/@postgres:5432/@127.0.0.1:{port}/' .secrets/database_url)"
    assert "< .secrets/database_url" in rotation
    run(rotation.replace("< .secrets/database_url", here))
    assert run("cat .secrets/database_password") != before
    servers = run(f"{MANAGE} database_servers list")
    assert "main" in servers
    assert "does not" not in servers

    run(fence("operating.md", f"{COMPOSE} -T postgres pg_dump"))
    run("docker-compose down --volumes")
    run(fence("operating.md", "docker-compose up --detach postgres"))
    assert "you@example.com" in run(ACCOUNTS)
    run("docker-compose up --detach --force-recreate")
    assert "you@example.com" in run(ACCOUNTS)


def test_the_line_that_makes_a_secret_makes_one(run: Run) -> None:
    (line,) = {one.text for one in printed() if one.text.startswith("head -c 24")}
    assert re.fullmatch("[0-9a-f]{48}", run(line))
    assert run(line) != run(line)


@pytest.mark.django_db(transaction=True)
def test_a_command_against_a_running_demo(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    given = {**database_of_this_test(), "SECRET_KEY": settings.SECRET_KEY}
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in given.items()]
    (tmp_path / "var" / "demo.env").write_text("".join(lines))
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "manage.py").symlink_to(ROOT / "manage.py")
    command = fence("demo.md", "(set -a;")
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert "0 queued, 0 sent again" in done.stdout, done.stderr


PLACEHOLDERS = {
    "ID": "0b9f3c1a-0000-4000-8000-000000000000",
    "A": "0b9f3c1a-0000-4000-8000-000000000000",
    "B": "now",
    "TIME": "2026-11-25T03:00Z",
    "DAY": "2026-11-25",
    "FILE": "data.csv",
    "N": "3",
}


def words_of_commands() -> list[tuple[str, ...]]:
    """Return the quoted commands that begin with one of our commands' names."""
    ours = {
        name
        for name, app in get_commands().items()
        if app.startswith(("backups_portal", "snapshots", "restores"))
    }
    found = set()
    for page in PAGES:
        for text in re.findall(r"`([^`\n]+)`", page.read_text()):
            words = shlex.split(text.removeprefix(f"{MANAGE} ").replace("[", "").replace("]", ""))
            if words and words[0] in ours and len(words) > 1 and "…" not in words:
                found.add(tuple(PLACEHOLDERS.get(word, word) for word in words))
    return sorted(found)


@pytest.mark.parametrize("words", words_of_commands(), ids=" ".join)
def test_a_command_knows_the_words_that_the_manual_gives_it(words: tuple[str, ...]) -> None:
    name, *arguments = words
    command = load_command_class(get_commands()[name], name)
    # An unknown option, or a missing argument, is an error.
    command.create_parser("manage.py", name).parse_args(arguments)
