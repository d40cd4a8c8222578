"""The manual's recipe gives a database server a new password or address."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from backups_portal.audit.models import AuditEvent
from backups_portal.projects.database_dsn import admin_dsn, project_dsn, server_url
from backups_portal.projects.models import DatabaseServer, Project
from backups_portal.projects.project_creation import create_project
from backups_portal.projects.servers import check_servers, register_server
from tests.clusters import Cluster, running_cluster
from tests.conftest import database_of_this_test
from tests.factories import make_account
from tests.faults.conftest import SETTINGS

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(settings.BASE_DIR)
# Runs what docker-compose would run in a container.
COMPOSE = """
docker-compose() {
    case "$*" in
        "exec -T postgres psql --username=postgres") "$PSQL" --quiet --dbname="$SUPERUSER_URL" ;;
        "run --rm -T web python "*) sed "s/@postgres:5432/@$ADDRESS/" |
            (shift 5; cd "$ROOT" && "$PYTHON" "$@") ;;
        "up --detach --force-recreate") ;;
        *) echo "the recipe runs something else: $*" >&2; exit 1 ;;
    esac
}
"""


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("rotation")) as cluster:
        yield cluster


@pytest.fixture
def project(cluster: Cluster) -> Project:
    register_server("main", cluster.url)
    return create_project(name="Cold Chain", owner=make_account(), settings=SETTINGS)


def recipe() -> str:
    page = (ROOT / ".github" / "docs" / "operating.md").read_text()
    section = page.split("### A new password or address")[1]
    found = re.search("```sh\n(.*?)```", section, flags=re.DOTALL)
    assert found
    return found[1]


def psql(superuser_url: str) -> str:
    """Return the command of the tests' own psql."""
    with psycopg.connect(superuser_url) as server:
        row = server.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'").fetchone()
    assert row
    return str(Path(row[0]) / "psql")


def set_url(url: str) -> None:
    call_command("database_servers", "set", "main", "--url", url, stdout=StringIO())


def test_the_recipe_gives_a_new_password(
    cluster: Cluster, project: Project, tmp_path: Path
) -> None:
    (tmp_path / ".docker").symlink_to(ROOT / ".docker")
    before = server_url(DatabaseServer.objects.get())
    host = urlsplit(cluster.url)
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", COMPOSE + recipe()],
        cwd=tmp_path,
        env={
            **os.environ,
            **database_of_this_test(),
            "PSQL": psql(cluster.superuser_url),
            "SUPERUSER_URL": cluster.superuser_url,
            "ADDRESS": f"{host.hostname}:{host.port}",
            "ROOT": str(ROOT),
            "PYTHON": sys.executable,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    password = (tmp_path / ".secrets" / "database_password").read_text()
    assert urlsplit(server_url(DatabaseServer.objects.get())).password == password
    assert password not in ran.stdout + ran.stderr
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(before)
    project.refresh_from_db()
    for dsn in (admin_dsn(project), project_dsn(project)):
        psycopg.connect(dsn).close()
    assert check_servers() == {"main": ""}
    event = AuditEvent.objects.get(action="server.changed")
    assert event.details["address"] == "changed"
    assert password not in str(event.details)


def test_what_lets_nobody_in_changes_nothing(cluster: Cluster, project: Project) -> None:
    wrong = cluster.url.replace(str(urlsplit(cluster.url).password), "wrong")
    with pytest.raises(CommandError, match="password authentication failed"):
        set_url(wrong)
    with pytest.raises(CommandError, match="write postgresql://"):
        set_url("mysql://u:p@h")
    assert server_url(DatabaseServer.objects.get()) == cluster.url


def test_a_server_without_the_projects_databases_is_refused(
    cluster: Cluster, project: Project
) -> None:
    """A new, empty server is reached if the host name is moved too early."""
    missing = "1 of 1 database of “main” is not there, or belongs to another role: "
    sentence = f"{missing}{project.database}. Nothing was changed"
    for command in ("set", "add"):
        with pytest.raises(CommandError, match=sentence):
            call_command(
                "database_servers", command, "main", "--url", settings.PROJECT_DATABASE_URL
            )
    assert server_url(DatabaseServer.objects.get()) == cluster.url


def test_limits_that_mean_nothing_keep_the_address(cluster: Cluster, project: Project) -> None:
    with pytest.raises(CommandError, match="weight"):
        call_command(
            "database_servers",
            "set",
            "main",
            "--weight",
            "0",
            "--url",
            f"{cluster.url}?sslmode=prefer",
        )
    assert server_url(DatabaseServer.objects.get()) == cluster.url
