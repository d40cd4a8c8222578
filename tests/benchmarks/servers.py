"""PostgreSQL and Redis for one run of a benchmark, and the portal in this process."""

import io
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import psycopg
from psycopg import sql

from backups_portal.demo.data_folder import DataFolder, opened
from backups_portal.demo.postgres import binaries
from backups_portal.demo.redis import start_redis
from tests import clusters
from tests.benchmarks.machine import tree_cpu_seconds
from tests.projectdatabases import quiet

HOST = "localhost"


class Cluster(clusters.Cluster):
    """A PostgreSQL server for one run of a benchmark, with its Redis.

    Attributes:
        scratch: A folder for files of this run.
    """

    def __init__(self, folder: DataFolder, redis_url: str) -> None:
        super().__init__(folder, durable=True)
        self.redis_url, self.scratch = redis_url, folder.sub("scratch")

    @property
    def version(self) -> str:
        return server_version(self.superuser_url)

    def program(self, name: str) -> str:
        return str(binaries().folder / name)

    def settle(self) -> None:
        """Flush what earlier steps have left to write, so that no measurement pays for it."""
        execute(self.superuser_url, "CHECKPOINT")

    def cpu(self) -> float:
        return tree_cpu_seconds(self.pid)

    @contextmanager
    def scratch_path(self) -> Iterator[Path]:
        path = self.scratch / secrets.token_hex(4)
        try:
            yield path
        finally:
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)


def execute(url: str, *statements: str) -> None:
    """Execute statements, each in its own transaction."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(sql.SQL(statement))


def server_version(url: str) -> str:
    with psycopg.connect(url) as connection:
        return str(connection.info.parameter_status("server_version"))


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start a new cluster in a temporary folder, and remove it afterwards.

    Its settings are those of the demo's durable cluster (fsync on), except that autovacuum is off:
    it would start in some measurements by chance.
    """
    with ExitStack() as stack:
        temporary = TemporaryDirectory(prefix="backups-portal-", ignore_cleanup_errors=True)
        folder = stack.enter_context(opened(Path(stack.enter_context(temporary))))
        redis, redis_url = start_redis(folder, durable=False, say=quiet)
        stack.callback(redis.stop)
        cluster = Cluster(folder, redis_url)
        stack.callback(cluster.stop)
        statements = ("ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()")
        execute(cluster.superuser_url, *statements)
        yield cluster


@contextmanager
def django_ready(
    cluster: Cluster, settings: str = "backups_portal.tagoio_api.settings", **environment: str
) -> Iterator[None]:
    """Set Django up with the API's or other settings, and the portal's tables."""
    os.environ.update(
        {
            "DJANGO_SETTINGS_MODULE": settings,
            "SECRET_KEY": secrets.token_hex(32),
            "INSTALLATION_KEY": secrets.token_hex(32),
            "DATABASE_URL": cluster.url,
            "REDIS_URL": cluster.redis_url,
            "SNAPSHOT_STORAGE": (cluster.scratch / "snapshots").as_uri(),
            "LOG_LEVEL": "ERROR",
            **environment,
        }
    )
    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    from backups_portal.tagoio_api.auth.project_token_auth import pools

    call_command("migrate", verbosity=0, interactive=False)
    yield
    pools().close()
    connections.close_all()


@contextmanager
def portal_ready(cluster: Cluster) -> Iterator[None]:
    """Set Django up as in a deployment of the portal, with collected static files."""
    environment = {
        "STATIC_ROOT": str(cluster.scratch / "static"),
        "DEBUG": "0",
        "SECURE_COOKIES": "0",
        "SECURE_SSL_REDIRECT": "0",
        "ALLOWED_HOSTS": HOST,
    }
    with django_ready(cluster, "backups_portal.settings", **environment):
        from django.conf import settings
        from django.core.management import call_command

        call_command("collectstatic", interactive=False, verbosity=0)
        settings.ROOT_URLCONF = "tests.benchmarks.portal"
        yield


@dataclass
class Client:
    """Calls a WSGI application in this process, without a network.

    Attributes:
        headers: Sent with each request, with WSGI's names.
    """

    application: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        address, _, query = path.partition("?")
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": address,
            "QUERY_STRING": query,
            "SERVER_NAME": HOST,
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": "application/json" if body else "",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            **self.headers,
            **headers,
        }
        statuses: list[str] = []
        response = self.application(environ, lambda status, headers: statuses.append(status))
        answer = b"".join(response)
        response.close()
        if statuses != ["200 OK"]:
            raise RuntimeError(f"{method} {path}: {statuses} {answer[:500]!r}")
        return answer

    def get(self, path: str, **headers: str) -> bytes:
        return self.call("GET", path, **headers)

    def queries(self, path: str) -> int:
        """Count a page's statements over all connections."""
        execute, statements = psycopg.Cursor.execute, 0

        def counting(cursor: Any, *arguments: Any, **options: Any) -> Any:
            nonlocal statements
            statements += 1
            return execute(cursor, *arguments, **options)

        with patch.object(psycopg.Cursor, "execute", counting):
            self.get(path)
        return statements
