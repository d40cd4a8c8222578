"""The reasons for refusing a restore request; a refusal changes nothing."""

import dataclasses
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import acting_by_command
from backups_portal.billing.models import Charge
from backups_portal.projects.models import Project
from restores.errors import RestoreRefusedError
from restores.models import Restore
from restores.restore_requests import (
    NewProject,
    limit_reached,
    request_restore,
    retry_restore,
)
from snapshots.engine.storage import open_storage
from snapshots.models import Snapshot
from tests.factories import make_account


def ask(snapshot: Snapshot, owner: Account, **changes: object) -> Restore:
    wanted = NewProject(name="Recovered", accepted_charges=True)
    return request_restore(
        snapshot=snapshot, actor=owner, wanted=dataclasses.replace(wanted, **changes)
    )


def refuse(snapshot: Snapshot, owner: Account, **changes: object) -> RestoreRefusedError:
    charges = Charge.objects.count()
    with pytest.raises(RestoreRefusedError) as refusal:
        ask(snapshot, owner, **changes)
    assert Restore.objects.count() == 0
    assert Charge.objects.count() == charges
    return refusal.value


@pytest.mark.parametrize(
    ("name", "why"),
    [("", "name"), ("   ", "name"), ("x" * 300, "100 characters"), ("cold CHAIN", "already have")],
)
def test_names_that_cannot_be(
    project: Project, snapshot: Snapshot, owner: Account, name: str, why: str
) -> None:
    error = refuse(snapshot, owner, name=name)
    assert why in error.message
    assert (error.field, error.status) == ("name", 400)


def test_charges_have_to_be_accepted(project: Project, snapshot: Snapshot, owner: Account) -> None:
    error = refuse(snapshot, owner, accepted_charges=False)
    assert (error.field, error.status) == ("accept_charges", 400)


def test_all_that_is_wrong_is_said_at_once(
    project: Project, snapshot: Snapshot, owner: Account
) -> None:
    error = refuse(snapshot, owner, name="", accepted_charges=False)
    assert list(error.errors) == ["name", "accept_charges"]
    assert error.field == "name"
    assert all(sentence in error.message for sentence in error.errors.values())


@pytest.mark.parametrize("state", ["queued", "running", "failed", "expired"])
def test_only_a_stored_backup_can_be_restored(
    project: Project, snapshot: Snapshot, owner: Account, state: str
) -> None:
    Snapshot.objects.filter(pk=snapshot.pk).update(state=state, reason="because")
    snapshot.refresh_from_db()
    assert refuse(snapshot, owner).status == 409


def test_a_manifest_that_storage_lost(project: Project, snapshot: Snapshot, owner: Account) -> None:
    open_storage(settings.SNAPSHOT_STORAGE).delete(snapshot.manifest)
    error = refuse(snapshot, owner)
    assert error.status == 409
    assert "lacks" in error.message


def test_a_double_click_is_one_restore(
    project: Project, snapshot: Snapshot, owner: Account
) -> None:
    key = uuid.uuid4()
    first = ask(snapshot, owner, request_key=key)
    assert ask(snapshot, owner, request_key=key) == first
    assert Restore.objects.count() == 1


def test_keys_of_two_accounts_do_not_meet(
    project: Project, snapshot: Snapshot, owner: Account
) -> None:
    """A stranger who uses an owner's next key prevents no restore."""
    key, stranger = uuid.uuid4(), make_account()
    first = ask(snapshot, stranger, request_key=key)
    second = ask(snapshot, owner, request_key=key)
    assert (first.requested_by, second.requested_by) == (stranger, owner)
    assert ask(snapshot, owner, request_key=key) == second
    assert Restore.objects.count() == 2


def test_the_same_name_is_not_restored_twice_at_once(
    project: Project, snapshot: Snapshot, owner: Account
) -> None:
    ask(snapshot, owner)
    with pytest.raises(RestoreRefusedError, match="already restoring") as refusal:
        ask(snapshot, owner, name="RECOVERED")
    assert refusal.value.status == 409


def test_so_many_at_a_time_and_no_more(
    project: Project,
    snapshot: Snapshot,
    owner: Account,
    client: Client,
    settings: Settings,
) -> None:
    settings.RESTORES_AT_ONCE = 2
    client.force_login(owner)
    page = f"/projects/{project.slug}/backups/{snapshot.pk}/restore/"
    first, _ = ask(snapshot, owner, name="One"), ask(snapshot, owner, name="Two")
    said = "You have 2 restores under way, and can have 2 at a time."
    assert said in client.get(page).text
    with pytest.raises(RestoreRefusedError, match=said) as refusal:
        ask(snapshot, owner, name="Three")
    assert refusal.value.status == 409
    with acting_by_command("root"):
        ask(snapshot, owner, name="Three")
    settings.RESTORES_AT_ONCE = 1
    assert "You have 2 restores under way, and can have 1 at a time." in client.get(page).text
    settings.RESTORES_AT_ONCE = 2
    Restore.objects.filter(pk=first.pk).update(state="failed", reason="It broke.")
    first.refresh_from_db()
    assert said not in client.get(page).text, "an operator's takes none of the owner's places"
    ask(snapshot, owner, name="Four")
    with pytest.raises(RestoreRefusedError, match=said):
        retry_restore(restore=first, actor=owner)
    Restore.objects.filter(name="Four").delete()
    retry_restore(restore=first, actor=owner)


def test_two_that_ask_at_once_for_the_last_place(
    project: Project,
    snapshot: Snapshot,
    owner: Account,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.RESTORES_AT_ONCE = 1
    counted = threading.Barrier(2)

    def slowly(account: Account, **options: uuid.UUID) -> str:
        answer = limit_reached(account, **options)
        with suppress(threading.BrokenBarrierError):
            counted.wait(timeout=1)
        return answer

    def request(name: str) -> str:
        try:
            return ask(snapshot, owner, name=name).name
        except RestoreRefusedError as refused:
            return refused.message
        finally:
            connection.close()

    monkeypatch.setattr("restores.restore_requests.limit_reached", slowly)
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(request, ["One", "Two"]))
    assert Restore.objects.count() == 1
    assert sum(answer.startswith("You have 1 restore under way") for answer in answers) == 1


def test_a_second_click_on_the_last_restore_finds_it(
    project: Project,
    snapshot: Snapshot,
    owner: Account,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """This includes a click that arrived before the first was committed."""
    settings.RESTORES_AT_ONCE = 1
    key = uuid.uuid4()
    first = ask(snapshot, owner, request_key=key)
    answers = iter([None, first])
    monkeypatch.setattr("restores.restore_requests._earlier", lambda _: next(answers))
    assert ask(snapshot, owner, request_key=key) == first


def test_only_a_failed_restore_is_tried_again(
    project: Project, snapshot: Snapshot, owner: Account
) -> None:
    restore = ask(snapshot, owner)
    with pytest.raises(RestoreRefusedError, match="failed"):
        retry_restore(restore=restore, actor=owner)


def test_the_price_is_the_one_that_was_accepted(
    project: Project, snapshot: Snapshot, owner: Account
) -> None:
    restore = ask(snapshot, owner)
    assert restore.creation_fee == settings.PROJECT_CREATION_FEE
    assert restore.running_fee_per_hour == settings.PROJECT_RUNNING_FEE_PER_HOUR
