"""Databases are UTF8, whatever encoding their server has."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.core import checks
from django.db import connections
from psycopg import sql

from backups_portal.demo.postgres import Programs
from backups_portal.lib.postgresql.base import check_encoding
from backups_portal.projectdb.provisioning import BASE, ProvisioningError
from tests.clusters import Cluster, running_cluster
from tests.projectdatabases import main_database

pytestmark = [pytest.mark.server_version, pytest.mark.usefixtures("project_server")]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A server that `initdb` made in a session without a locale."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Programs, "locale", ("--locale=C", "--encoding=SQL_ASCII"))
        with running_cluster(tmp_path_factory.mktemp("other")) as cluster:
            yield cluster


@pytest.fixture(scope="module")
def national(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A server whose locale has an encoding of its own, in which UTF8 cannot be sorted."""
    localedef = shutil.which("localedef")
    if not localedef or not Path("/usr/share/i18n/charmaps/ISO-8859-1.gz").is_file():
        pytest.skip("no source of a locale is here (Debian: apt-get install locales)")
    folder = tmp_path_factory.mktemp("national")
    locales = folder / "locales"
    locales.mkdir(mode=0o755)
    command = [localedef, "-i", "de_DE", "-f", "ISO-8859-1", str(locales / "de_DE.ISO-8859-1")]
    subprocess.run(command, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCPATH", str(locales))
        patch.setattr(Programs, "locale", ("--locale=de_DE.ISO-8859-1", "--encoding=LATIN1"))
        with running_cluster(folder / "server") as cluster:
            yield cluster


@pytest.mark.parametrize("server", ["other", "national"])
def test_a_projects_database_stores_every_character(
    server: str, request: pytest.FixtureRequest
) -> None:
    cluster: Cluster = request.getfixturevalue(server)
    with psycopg.connect(cluster.superuser_url, autocommit=True) as superuser:
        base = sql.Identifier(BASE)
        superuser.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(base))
        superuser.execute(sql.SQL("DROP DATABASE {}").format(base))
    with main_database(cluster.url) as target, psycopg.connect(target.dsn) as session:
        row = session.execute(
            "SELECT current_setting('server_encoding'), length('漢'), '\"\\u6f22\"'::jsonb #>> '{}'"
        ).fetchone()
        assert row == ("UTF8", 1, "漢")


def test_a_base_of_another_encoding_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Programs, "locale", ("--locale=C", "--encoding=LATIN1"))
    with (
        running_cluster(tmp_path) as cluster,
        pytest.raises(ProvisioningError, match=r"encoding \(UTF8\) is incompatible"),
        main_database(cluster.url),
    ):
        pass


@pytest.mark.django_db(transaction=True)
def test_the_portals_own_database_has_to_be_created_with_it(
    other: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_encoding(databases=["default"]) == []
    fresh = connections["default"].copy()
    with psycopg.connect(other.url) as server:
        found = server.info
        fresh.settings_dict |= {
            "NAME": found.dbname,
            "HOST": found.host,
            "PORT": str(found.port),
            "USER": found.user,
            "PASSWORD": found.password,
        }
    monkeypatch.setattr("backups_portal.lib.postgresql.base.connections", {"default": fresh})
    try:
        (error,) = check_encoding(databases=["default"])
        with fresh.cursor() as cursor:
            cursor.execute("CREATE TABLE django_migrations ()")
        (warning,) = check_encoding(databases=["default"])
    finally:
        fresh.close()
    assert isinstance(error, checks.Error)
    # A portal that has run on it so far can be upgraded.
    assert isinstance(warning, checks.Warning)
    assert warning.msg == (
        "The portal's own database has the encoding SQL_ASCII. Dump it, and restore it into one "
        "created with TEMPLATE template0 ENCODING 'UTF8'."
    )
    assert error.msg == (
        "The portal's own database has the encoding SQL_ASCII. Create it with "
        "TEMPLATE template0 ENCODING 'UTF8'."
    )
