"""The portal in this process, and a project with few rows or with many."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import time, timedelta
from functools import partial
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from tests.benchmarks.apisetup import django_ready
from tests.benchmarks.cluster import Cluster

HOST = "localhost"
SERVER = "benchmark"
# Of what lists show in pages.
MOST = 100


@contextmanager
def portal_ready(cluster: Cluster) -> Iterator[None]:
    """Django as a deployment has it, with collected static files."""
    with TemporaryDirectory() as static:
        environment = {
            "STATIC_ROOT": static,
            "DEBUG": "0",
            "SECURE_COOKIES": "0",
            "SECURE_SSL_REDIRECT": "0",
            "ALLOWED_HOSTS": HOST,
            "SNAPSHOT_STORAGE": f"file://{cluster.scratch / 'snapshots'}",
        }
        with django_ready(cluster, "backups_portal.settings", **environment):
            from django.conf import settings
            from django.core.management import call_command

            call_command("collectstatic", interactive=False, verbosity=0)
            settings.ROOT_URLCONF = "tests.benchmarks.pageurls"
            yield


@dataclass
class Visitor:
    """An owner who is signed in; their requests have no network in between."""

    session: str
    application: Any

    def seconds(self, path: str) -> float:
        """How long the server takes for a page that must be a success."""
        address, _, query = path.partition("?")
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": address,
            "QUERY_STRING": query,
            "SERVER_NAME": HOST,
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_COOKIE": f"sessionid={self.session}",
            # As browsers say; what compressing takes is a part of it.
            "HTTP_ACCEPT_ENCODING": "gzip, deflate, br",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
        }
        statuses: list[str] = []
        start = perf_counter()
        response = self.application(environ, lambda status, headers: statuses.append(status))
        answer = b"".join(response)
        response.close()
        taken = perf_counter() - start
        if statuses != ["200 OK"]:
            raise RuntimeError(f"{path}: {statuses} {answer[:500]!r}")
        return taken

    def queries(self, path: str) -> int:
        """How many queries a page takes."""
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as captured:
            self.seconds(path)
        return len(captured)


def build(rows: int) -> tuple[Visitor, dict[str, str]]:
    """A new owner with a project of so many rows of each kind; the pages by name."""
    from django.test import Client
    from django.urls import reverse
    from django.utils import timezone

    from backups_portal.wsgi import application
    from tests import factories

    owner = factories.make_account()
    project = _project(owner, rows)
    snapshot = _fill(project, owner, rows, timezone.now())
    client = Client()
    client.force_login(owner)
    restore = factories.make_restore(snapshot, requested_by=owner, state="failed", reason="None.")
    transfer = factories.make_transfer(project, _another(owner, project), requested_by=owner)
    base = f"/projects/{project.slug}"
    pages = {
        "projects": "/",
        "project": f"{base}/",
        "main database": f"{base}/main-database/",
        "backups": f"{base}/backups/",
        "what is inside": f"{base}/backups/{snapshot.pk}/",
        "compare": f"{base}/backups/{snapshot.pk}/compare/",
        "download": f"{base}/backups/{snapshot.pk}/download/",
        "find lost rows": f"{base}/backups/find/",
        "restore a backup": f"{base}/backups/{snapshot.pk}/restore/",
        "restore": f"/restores/{restore.pk}/",
        "transfers": f"{base}/transfers/",
        "data as CSV": f"{base}/data/",
        "ids": f"{base}/ids/",
        "notifications": f"{base}/notifications/",
        "members": f"{base}/members/",
        "charges": f"{base}/charges/",
        "activity": f"{base}/activity/",
        "shut down": f"{base}/shut-down/",
        "devices of a backup": f"{base}/backups/{snapshot.pk}/devices/",
        "left out": f"{base}/backups/{snapshot.pk}/left-out/",
        "restores of a backup": f"{base}/backups/{snapshot.pk}/restores/",
        "transfer": f"{base}/transfers/{transfer.pk}/",
        # They ask the project's own database.
        "tokens": f"{base}/tokens/",
        "API": f"{base}/api/",
        "all charges": reverse("all-charges"),
        "security": "/account/",
        "API tokens": reverse("access-tokens"),
        "password": reverse("change-password"),
        "second factor": reverse("second-factor"),
    }
    return Visitor(client.cookies["sessionid"].value, application), pages


def worker_signs() -> None:
    """As a worker does every 20 seconds, so that pages need not say that backups wait for one."""
    from backups_portal.lib import liveness

    liveness.note(liveness.WORKER)


def _another(owner: Any, project: Any) -> Any:
    """Another project of the same owner."""
    from tests import factories

    found = type(project).objects.filter(memberships__account=owner).exclude(pk=project.pk)
    return found.first() or factories.make_project_row(owner=owner)


def _project(owner: Any, rows: int) -> Any:
    """A project with a main database, which has as many devices as a list shows, or fewer."""
    import psycopg
    from django.conf import settings
    from django.utils import timezone

    from backups_portal.projectdb.tokens import TokenGrant, create_token
    from backups_portal.projects.database_dsn import keyring, project_dsn
    from backups_portal.projects.project_creation import BackupSettings, create_project
    from backups_portal.projects.servers import register_server
    from tests.projectdatabases import add_device, add_rows

    register_server(SERVER, settings.PROJECT_DATABASE_URL)
    project = create_project(
        name=f"Project of {rows}",
        owner=owner,
        settings=BackupSettings(time(3), "UTC", 7, timezone.now() + timedelta(hours=6)),
        server_name=SERVER,
    )
    with psycopg.connect(project_dsn(project), autocommit=True) as connection:
        add_device(connection)
        add_rows(connection, 0, 1_000)
        connection.execute(
            "INSERT INTO device (id, name, type)"
            " SELECT lpad(to_hex(n), 24, '0'), 'Device ' || n, 'mutable'"
            " FROM generate_series(1, %s) AS n",
            [min(rows, MOST) - 1],
        )
        for (device,) in connection.execute("SELECT id::text FROM device LIMIT 30").fetchall():
            create_token(
                connection, TokenGrant("device", name="Token", device_id=device), keys=keyring()
            )
    return project


def _fill(project: Any, owner: Any, rows: int, now: Any) -> Any:
    """Backups, events, projects and members; the newest backup."""
    from backups_portal.audit.models import AuditEvent
    from snapshots.models import Snapshot
    from snapshots.run.snapshot_run import take
    from tests import factories

    newest = factories.make_snapshot(project, taken_at=now, state="queued")
    take(newest.pk)
    newest.refresh_from_db()
    if newest.state != Snapshot.State.COMPLETED:
        raise RuntimeError(f"the backup is {newest.state}: {newest.reason}")
    older = []
    for day in range(1, rows):
        moment = now - timedelta(days=day)
        older.append(_copy_of(newest, moment))
    Snapshot.objects.bulk_create(older, batch_size=2_000)
    event = partial(AuditEvent, project_id=project.pk, action="snapshot.completed")
    AuditEvent.objects.bulk_create([event() for _ in range(rows)], batch_size=2_000)
    # A page of them at most is shown.
    for _ in range(min(rows, MOST) - 1):
        factories.make_project_row(owner=owner)
        factories.make_membership(project, factories.make_account())
    _count_rows()
    return newest


def _count_rows() -> None:
    """Tell the planner what there is, as autovacuum does within a minute."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _copy_of(snapshot: Any, moment: Any) -> Any:
    from snapshots.models import Snapshot

    fields = {
        field.attname: getattr(snapshot, field.attname)
        for field in Snapshot._meta.concrete_fields
        if not field.primary_key
    }
    times = {"local_date": moment.date(), "scheduled_for": moment, "taken_at": moment}
    return Snapshot(**{**fields, **times, "started_at": moment, "finished_at": moment})
