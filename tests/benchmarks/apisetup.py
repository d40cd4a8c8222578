"""The projects' API in this process, before a cluster and a Redis of its own."""

import io
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from backups_portal.demo.data_folder import opened
from backups_portal.demo.embedded_servers import running
from tests.benchmarks.cluster import Cluster, Source

PORTAL = "portal"


@contextmanager
def django_ready(
    cluster: Cluster, settings: str = "backups_portal.tagoio_api.settings", **environment: str
) -> Iterator[None]:
    """Django with the API's settings, or others, and a migrated database for the portal's rows."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        data = stack.enter_context(opened(folder))
        services = stack.enter_context(
            running(data, database_url=cluster.url, redis_url="", durable=False, say=_quiet)
        )
        with psycopg.connect(cluster.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {PORTAL}")
        os.environ.update(
            {
                "DJANGO_SETTINGS_MODULE": settings,
                "SECRET_KEY": secrets.token_hex(32),
                "INSTALLATION_KEY": secrets.token_hex(32),
                "DATABASE_URL": cluster.database(PORTAL),
                "REDIS_URL": services.redis_url,
                "LOG_LEVEL": "ERROR",
                **environment,
            }
        )
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0, interactive=False)
        yield
        _disconnect()


def _quiet(line: str) -> None:
    """What the start says."""


def _disconnect() -> None:
    from django.db import connections

    from backups_portal.tagoio_api.auth.project_token_auth import pools

    pools().close()
    connections.close_all()


@dataclass
class Served:
    """A project as its API shows it, without a network in between."""

    profile_token: str
    application: Any

    def call(self, method: str, path: str, *, token: str = "", body: bytes = b"") -> bytes:
        """The body of an answer that must be a success."""
        address, _, query = path.partition("?")
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": address,
            "QUERY_STRING": query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_TOKEN": token or self.profile_token,
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
        }
        statuses: list[str] = []
        response = self.application(environ, lambda status, headers: statuses.append(status))
        answer = b"".join(response)
        response.close()
        if statuses != ["200 OK"]:
            raise RuntimeError(f"{method} {path}: {statuses} {answer[:500]!r}")
        return answer


def serve(source: Source) -> Served:
    """Show a main database as a project, with a new profile token."""
    from backups_portal.accounts.models import Account
    from backups_portal.projectdb.provisioning import database_name
    from backups_portal.projectdb.tokens import TokenGrant, create_token
    from backups_portal.projects.database_dsn import PASSWORD_PURPOSE, keyring
    from backups_portal.projects.models import Project
    from backups_portal.projects.servers import register_server
    from backups_portal.tagoio_api.wsgi import application

    name = database_name(source.prefix)
    owner, _ = Account.objects.get_or_create(email="owner@example.com")
    Project.objects.create(
        slug=name,
        name=name,
        prefix=source.prefix,
        server=register_server("benchmark", source.cluster.url),
        database=name,
        role=name,
        sealed_password=keyring().seal("unused", PASSWORD_PURPOSE),
        created_by=owner,
    )
    with source.connect() as connection:
        token = create_token(connection, TokenGrant("profile", name="Benchmark"), keys=keyring())
    return Served(token.value, application)


def device_token(source: Source, device_id: str) -> str:
    """A new token of a device."""
    from backups_portal.projectdb.tokens import TokenGrant, create_token
    from backups_portal.projects.database_dsn import keyring

    with source.connect() as connection:
        return create_token(
            connection, TokenGrant("device", name="Benchmark", device_id=device_id), keys=keyring()
        ).value
