"""Old ids and tokens lead to the new ones."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.projectdb.tokens import SEAL_PURPOSE
from backups_portal.projects.database_dsn import keyring
from backups_portal.projects.models import Project
from backups_portal.replaced_ids.id_lookup import variables_of_transfer
from tests import factories
from tests.transfers.projects import open_project
from tests.transfers.test_transfer_run import move

RECORDS = 'SELECT id, variable, value, "group", time FROM variable_record'


def records(project: Project) -> dict[str, tuple[object, ...]]:
    with open_project(project) as connection:
        return {row[0]: row[1:] for row in connection.execute(RECORDS)}


def old_token(project: Project) -> str:
    with open_project(project) as connection:
        row = connection.execute("SELECT sealed_value FROM token WHERE kind = 'device'").fetchone()
    assert row
    return keyring().open(row[0], SEAL_PURPOSE)


def test_ids_and_tokens_of_a_transfer(backup: Project, live: Project, owner: Account) -> None:
    transfer = move(backup, live, owner)
    pairs = dict(variables_of_transfer(transfer))
    old, new = records(backup), records(live)
    assert pairs.keys() == old.keys()
    assert all(old[one] == new[other] for one, other in pairs.items())
    assert not old.keys() & new.keys()

    known = next(iter(pairs))
    out = StringIO()
    call_command("new_ids", live.slug, known, stdout=out)
    assert out.getvalue().strip() == pairs[known]
    with pytest.raises(CommandError, match="replaces this id or token"):
        call_command("new_ids", live.slug, "f" * 24)

    client = Client()
    client.force_login(owner)
    page = client.post(f"/projects/{live.slug}/ids/", {"old": old_token(backup)})
    assert "Truck" not in page.content.decode()
    assert "device token “Default”" in page.content.decode()
    lines = b"".join(client.get(f"/projects/{live.slug}/ids/variables.csv").streaming_content)
    assert len(lines.split()) == 11


@pytest.mark.django_db
def test_nothing_to_look_up_and_nowhere_to_look(client: Client) -> None:
    project = factories.make_project_row()
    client.force_login(project.created_by)
    empty = client.post(f"/projects/{project.slug}/ids/", {"old": " "})
    assert empty.status_code == 400
    assert "Enter an old variable id or an old token." in empty.content.decode()
    away = client.post(f"/projects/{project.slug}/ids/", {"old": "a" * 24})
    assert away.status_code == 503
    page = away.content.decode()
    assert "The project&#39;s database is not responding." in page
    assert "Nothing in this project replaces it." not in page
    assert f'value="{"a" * 24}"' in page


def test_a_removed_project_has_no_ids(live: Project) -> None:
    Project.objects.filter(pk=live.pk).update(
        state=Project.State.REMOVED, shut_down_at=timezone.now(), sealed_password=b""
    )
    with pytest.raises(CommandError, match=f"^{live.slug} was removed, with its database"):
        call_command("new_ids", live.slug, "f" * 24)
