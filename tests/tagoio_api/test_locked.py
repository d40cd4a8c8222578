"""A lock of another session on a project's data is reported before clients time out."""

import psycopg
import pytest

from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.models import Project
from backups_portal.tagoio_api import connection_pools as settings_of_pools
from backups_portal.tagoio_api.auth.project_token_auth import pools
from tests.tagoio_api.conftest import Api


def test_a_lock_has_a_sentence_of_its_own(
    api: Api, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(settings_of_pools.SETTINGS, "lock_timeout", "200ms")
    pools().close()
    with psycopg.connect(project_dsn(project)) as session:
        session.execute("LOCK TABLE device")
        for method, path, body in (("GET", "/device", None), ("POST", "/device", {"name": "A"})):
            status, message = api.call(method, path, body)
            assert status == 503
            assert "has locked the project's data" in message
    assert api.get("/device") == []
    pools().close()


def test_it_is_told_before_clients_give_up() -> None:
    assert settings_of_pools.SETTINGS["lock_timeout"] == "12s"
