"""Two owners edit the backup settings at the same time."""

import re
from datetime import time, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.audit_log import LABELS
from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import MainDatabase, Project
from tests import factories
from tests.pageforms import form_of
from tests.snapshots.settingspage import make_settings, read, save, settings_of, url

SETTINGS = [field.name for field in MainDatabase._meta.concrete_fields if field.name in LABELS]

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> Account:
    return factories.make_account()


@pytest.fixture
def project(owner: Account) -> Project:
    return make_settings(owner)


@pytest.fixture
def other(project: Project) -> Account:
    account = factories.make_account("other@example.com")
    factories.make_membership(project, account, "owner")
    return account


def store(project: Project, *days_ago: int) -> None:
    """Make backups of these days."""
    for days in days_ago:
        moment = timezone.now() - timedelta(days=days)
        factories.make_snapshot(project, taken_at=moment, local_date=moment.date())


def opened(client: Client, account: Account, project: Project) -> dict[str, str]:
    """Return the unchanged form that the page would send."""
    return form_of(read(client, account, project), url(project))


def test_only_what_was_changed_on_the_form_is_saved(
    client: Client, owner: Account, other: Account, project: Project
) -> None:
    form = opened(client, owner, project)
    save(client, other, project, retention_days="30")
    client.force_login(owner)
    said = client.post(url(project), {**form, "backup_time_zone": "UTC"}, follow=True).text
    assert settings_of(project) == (time(3), "UTC", 30)
    assert "Your backup settings are saved." in said
    assert (
        "In the meantime, other@example.com changed “Backup retention period” from “7” to “30”"
        in said
    )
    changed = AuditEvent.objects.filter(account_id=owner.pk).get().details
    assert changed.keys() == {"backup_time_zone"}


@pytest.mark.parametrize(
    ("name", "theirs", "mine", "said"),
    [
        ("retention_days", "30", "20", "from “7” to “30”"),
        ("backup_time", "04:00", "05:00", "from “03:00” to “04:00”"),
        ("backup_time_zone", "Asia/Tokyo", "UTC", "from “America/Sao_Paulo” to “Asia/Tokyo”"),
        (
            "proof_policy",
            "every",
            "off",
            "from “The newest, once a week” to “Every",
        ),
    ],
)
def test_the_same_setting_is_asked_about_and_nothing_typed_is_lost(
    client: Client,
    owner: Account,
    other: Account,
    project: Project,
    name: str,
    theirs: str,
    mine: str,
    said: str,
) -> None:
    form = opened(client, owner, project)
    save(client, other, project, **{name: theirs})
    before = settings_of(project)
    client.force_login(owner)
    typed = {**form, name: mine}
    answer = client.post(url(project), typed)
    assert answer.status_code == 409
    assert settings_of(project) == before
    (error,) = re.findall(rf'id="id_{name}_error">(.*?)</div>', answer.text, re.DOTALL)
    assert f"In the meantime, other@example.com changed this {said}" in error
    again = form_of(answer.text, url(project))
    assert {key: again[key] for key in form if not key.startswith("loaded-")} == {
        key: value for key, value in typed.items() if not key.startswith("loaded-")
    }
    assert client.post(url(project), again).status_code == 302
    assert str(getattr(MainDatabase.objects.get(), name)).startswith(mine)


def test_saving_again_leaves_what_was_left(
    client: Client, owner: Account, other: Account, project: Project
) -> None:
    form = opened(client, owner, project)
    save(client, other, project, retention_days="30", backup_time="04:00")
    client.force_login(owner)
    again = form_of(client.post(url(project), {**form, "retention_days": "40"}).text, url(project))
    assert client.post(url(project), again).status_code == 302
    assert settings_of(project) == (time(4), "America/Sao_Paulo", 40)


def test_the_same_value_is_no_contradiction(
    client: Client, owner: Account, other: Account, project: Project
) -> None:
    form = opened(client, owner, project)
    save(client, other, project, retention_days="30")
    client.force_login(owner)
    assert client.post(url(project), {**form, "retention_days": "30"}).status_code == 302


def test_a_confirmation_carries_on_what_was_shown_at_first(
    client: Client, owner: Account, other: Account, project: Project
) -> None:
    store(project, 1, 6)
    form = opened(client, owner, project)
    client.force_login(owner)
    asked = form_of(client.post(url(project), {**form, "retention_days": "3"}).text, url(project))
    save(client, other, project, backup_time="04:00")
    client.force_login(owner)
    assert client.post(url(project), asked).status_code == 302
    assert settings_of(project) == (time(4), "America/Sao_Paulo", 3)


def test_an_untouched_period_asks_about_no_deletion(
    client: Client, owner: Account, other: Account, project: Project
) -> None:
    store(project, 1, 10)
    form = opened(client, owner, project)
    save(client, other, project, retention_days="30")
    client.force_login(owner)
    assert client.post(url(project), {**form, "proof_policy": "off"}).status_code == 302
    assert settings_of(project)[2] == 30


def test_what_no_form_shows_is_taken_for_nothing(
    client: Client, owner: Account, project: Project
) -> None:
    broken = {"loaded-retention_days": "x", "loaded-backup_time": "\0"}
    answer = save(client, owner, project, retention_days="30", **broken)
    assert answer.status_code == 302
    assert settings_of(project)[2] == 30


@pytest.mark.parametrize("name", SETTINGS)
def test_the_activity_calls_a_setting_as_its_form_does(name: str) -> None:
    assert LABELS[name] == MainDatabase._meta.get_field(name).verbose_name
