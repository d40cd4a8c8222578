"""Pages and APIs of projects that were made with another installation key.

Once beat has checked the servers, they count as away; these requests come earlier.
"""

import pytest
from django.test import Client, override_settings

from backups_portal.audit.models import AuditEvent
from backups_portal.notifications.models import HEARTBEAT_URL, NotificationSettings, seal
from backups_portal.projects.models import Project
from backups_portal.projects.servers import register_server
from tests.factories import make_account, make_project_row, make_token

pytestmark = pytest.mark.django_db
WRONG = override_settings(INSTALLATION_KEY="0f" * 32)


@pytest.fixture
def project(client: Client) -> Project:
    owner = make_account()
    project = make_project_row(owner=owner)
    register_server(project.server.name, "postgresql://127.0.0.1:1/postgres")
    sealed = seal("https://example.com/beat", HEARTBEAT_URL)
    NotificationSettings.objects.create(project=project, sealed_heartbeat_url=sealed)
    with WRONG:
        client.force_login(owner)
    client.raise_request_exception = False
    return project


@pytest.mark.parametrize(
    ("method", "page"),
    [("GET", "tokens.csv"), ("POST", "tokens/"), ("POST", "data/"), ("GET", "notifications/")],
)
def test_a_page_says_it_and_the_log_names_the_key(
    client: Client, project: Project, method: str, page: str, caplog: pytest.LogCaptureFixture
) -> None:
    with WRONG:
        answer = client.generic(method, f"/projects/{project.slug}/{page}")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert "The database cannot be read right now</h1>" in answer.text
    assert "INSTALLATION_KEY" not in answer.text
    assert "INSTALLATION_KEY is not the one" in caplog.text


def test_the_api_does_not_call_a_good_token_unknown(client: Client, project: Project) -> None:
    headers = {"Authorization": f"Bearer {make_token(make_account())}"}
    with WRONG:
        answer = client.get("/api/v1/projects", headers=headers)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert answer.json()["detail"].startswith("The portal's database cannot be read right now.")
    assert not AuditEvent.objects.filter(action="account.token_refused").exists()
    assert client.get("/api/v1/projects", headers=headers).status_code == 200
