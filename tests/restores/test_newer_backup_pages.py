"""Pages of a backup made by a newer version offer nothing that would be refused."""

import pytest
from django.test import Client
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.projects.models import Project
from snapshots.models import Snapshot
from tests import factories
from tests.restores.backups_page import DAY, line, owned_project, read, words

pytestmark = pytest.mark.django_db
NEWER = 99
WHY = "This backup was made by a newer version of Backups Portal"
# Everything on these pages reads the backup.
REFUSED = ("restore", "compare", "download", "devices", "resources", "left-out")


@pytest.fixture
def project(client: Client) -> Project:
    return owned_project(client, factories.make_account())


@pytest.fixture
def newer(project: Project) -> Snapshot:
    factories.make_snapshot(project, taken_at=timezone.now() - DAY)
    return factories.make_snapshot(project, schema_version=NEWER)


def url(snapshot: Snapshot, ending: str = "") -> str:
    return f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/{ending}"


def offered(snapshot: Snapshot, html: str) -> list[str]:
    return [ending for ending in REFUSED if f'"{url(snapshot, ending)}/"' in html]


def test_the_list_offers_to_look_and_to_hold(
    client: Client, project: Project, newer: Snapshot
) -> None:
    other = Snapshot.objects.get(schema_version=1)
    page = read(client, project)
    assert offered(newer, line(page, newer)) == []
    assert f'"{url(newer, "hold/")}"' in line(page, newer)
    assert words(line(page, newer)).count("Made by a newer version of Backups Portal") == 1
    assert offered(other, line(page, other)) == ["restore", "compare", "download"]
    assert "newer version" not in line(page, other)


@pytest.mark.parametrize(
    ("ending", "status"),
    [("", 200), ("restores/", 200), ("restore/", 409), ("compare/", 200), ("download/", 200)],
)
def test_its_own_pages_say_why_once(
    client: Client, newer: Snapshot, ending: str, status: int
) -> None:
    response = client.get(url(newer, ending))
    page = response.content.decode()
    assert response.status_code == status
    assert offered(newer, page) == []
    assert 'name="quote"' not in page
    assert words(page).count(WHY) == 1
    assert "Your operator must update Backups Portal" in page


def test_no_other_backup_is_compared_with_it(client: Client, newer: Snapshot) -> None:
    other = Snapshot.objects.get(schema_version=1)
    assert f'value="{newer.pk}"' not in client.get(url(other, "compare/")).content.decode()
    Snapshot.objects.filter(pk=newer.pk).update(schema_version=1)
    assert f'value="{newer.pk}"' in client.get(url(other, "compare/")).content.decode()


def test_a_failed_restore_of_it_is_not_offered_again(
    client: Client, newer: Snapshot, project: Project
) -> None:
    restore = factories.make_restore(
        newer, requested_by=Account.objects.get(), state="failed", reason=f"{WHY}."
    )
    page = client.get(f"/restores/{restore.pk}/").content.decode()
    assert "Try again" not in page
    assert offered(newer, page) == []
    Snapshot.objects.filter(pk=newer.pk).update(schema_version=1)
    assert "Try again" in client.get(f"/restores/{restore.pk}/").content.decode()


def test_one_whose_version_is_not_recorded_is_offered(client: Client, project: Project) -> None:
    old = factories.make_snapshot(project, schema_version=None)
    assert offered(old, line(read(client, project), old)) == ["restore", "compare", "download"]
