"""Owners add, change and remove checks; a refusal names the error of each field."""

import threading
import time
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.projects.access import Permission, RightLostError, hold_right
from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.models import MainDatabase, Membership, Project
from backups_portal.projects.shutdown import shut_down
from restores.checks.check_settings import (
    MAX_CHECKS,
    WantedCheck,
    add_check,
    change_check,
    remove_check,
)
from restores.checks.check_targets import Target as CheckTarget
from restores.checks.check_targets import offered_names
from restores.errors import CheckRefusedError
from restores.models import Check
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from tests.factories import make_account, make_membership, make_project_row, make_snapshot
from tests.projectdatabases import DEVICE, Target, open_database

TWINS = ("1" * 24, "2" * 24)
QUOTED = """Robert'); DROP TABLE "device"; --"""


@pytest.fixture
def world(project: Project, owner: Account) -> tuple[Project, Account]:
    """A project whose newest backup has a truck, two twins, and a device with a bad name."""
    with open_database(Target(project_dsn(project), project.prefix)) as opened:
        for device, name in ((TWINS[0], "Twin"), (TWINS[1], "Twin"), ("3" * 24, QUOTED)):
            opened.execute(
                "INSERT INTO device (id, name, type) VALUES (%s, %s, 'mutable')", [device, name]
            )
        opened.execute(
            "INSERT INTO series (device_id, variable, type) VALUES (%s, 'note', 'string')", [DEVICE]
        )
        opened.execute(
            "INSERT INTO variable (series_id, time, text_value, group_key)"
            " SELECT id, '2026-03-01Z', 'x', 'g' FROM series WHERE variable = 'note'"
        )
    snapshot = make_snapshot(project, state=Snapshot.State.QUEUED)
    take(snapshot.pk)
    return project, owner


def newest(device: str, hours: int | None = 26) -> WantedCheck:
    return WantedCheck("newest", device=device, hours=hours)


def between(device: str, variable: str, low: Any = -40, high: Any = 60) -> WantedCheck:
    return WantedCheck("between", device=device, variable=variable, low=low, high=high)


GOOD = {
    "by name": (newest("Truck"), "Truck has a record younger than 26 hours"),
    "in other letters": (newest("tRUCK", 27), "Truck has a record younger than 27 hours"),
    "by id": (newest(TWINS[1]), "Twin has a record younger than 26 hours"),
    "a name with quotes": (newest(QUOTED), f"{QUOTED} has a record younger than 26 hours"),
    "of a device": (
        between("Truck", "temperature_1"),
        "temperature_1 of Truck is between \N{MINUS SIGN}40 and 60",
    ),
    "of every device": (
        between("", "v" * 200, 1, 1),
        f"{'v' * 200} of every device is between 1 and 1",
    ),
    "devices": (WantedCheck("devices", at_least=30), "At least 30 devices"),
}
BAD = {
    "no device": (newest(""), {"device": "Name a device."}),
    "unknown device": (
        newest("Lorry", None),
        {
            "device": "The newest backup has no device “Lorry”.",
            "hours": "Enter a whole number from 1 to 8,784.",
        },
    ),
    "twins": (
        newest("Twin"),
        {"device": f"2 devices are called “Twin”. Enter an id: {TWINS[0]}, {TWINS[1]}."},
    ),
    "no hours": (newest("Truck", 0), {"hours": "Enter a whole number from 1 to 8,784."}),
    "no hours of a range": (
        WantedCheck("between", variable="t", low=1, high=2, hours=0),
        {"hours": "Enter a whole number from 1 to 8,784."},
    ),
    "many hours": (newest("Truck", 9_000), {"hours": "Enter a whole number from 1 to 8,784."}),
    "no devices": (
        WantedCheck("devices", at_least=0),
        {"at_least": "Enter a whole number from 1 to 10,000,000."},
    ),
    "no variable": (between("", ""), {"variable": "Name a variable."}),
    "long variable": (
        between("", "v" * 201),
        {"variable": "Use at most 200 characters, without NUL."},
    ),
    "NUL": (between("", "a\0"), {"variable": "Use at most 200 characters, without NUL."}),
    "unknown variable": (
        between("Truck", "humidity"),
        {"variable": "In the newest backup, Truck has no variable “humidity”."},
    ),
    "text": (
        between("Truck", "note"),
        {"variable": "In the newest backup, “note” of Truck holds no numbers."},
    ),
    "upside down": (
        between("", "t", 2, 1),
        {"high": "Enter a number that is not less than the first one."},
    ),
    "not finite": (
        between("", "t", float("nan"), float("inf")),
        {"low": "Enter a number.", "high": "Enter a number."},
    ),
    "unknown kind": (WantedCheck("sql"), {None: "Choose one of newest, devices, between."}),
}


def test_good_and_bad_ones(world: tuple[Project, Account], subtests: pytest.Subtests) -> None:
    project, owner = world
    for name, (wanted, sentence) in GOOD.items():
        with subtests.test(name):
            check = add_check(project=project, actor=owner, wanted=wanted)
            assert check.sentence == sentence
            event = AuditEvent.objects.filter(action="check.added").latest("pk")
            assert event.subject == sentence[:200]
            with pytest.raises(CheckRefusedError, match="already a check like this"):
                add_check(project=project, actor=owner, wanted=wanted)
    for name, (wanted, errors) in BAD.items():
        with subtests.test(name), pytest.raises(CheckRefusedError) as refused:
            add_check(project=project, actor=owner, wanted=wanted)
        assert refused.value.errors == errors
    assert Check.objects.count() == len(GOOD)
    assert offered_names(project) == [QUOTED, "Truck", "Twin"]


def test_a_change_may_keep_a_device_that_is_gone(world: tuple[Project, Account]) -> None:
    project, owner = world
    check = Check.objects.create(
        project=project, kind="newest", device_id="9" * 24, device_name="Gone", hours=3
    )
    changed = change_check(
        project=project, actor=owner, check_id=check.pk, wanted=newest("Gone", 5)
    )
    assert changed is not None
    assert (changed.device_id, changed.hours) == ("9" * 24, 5)
    event = AuditEvent.objects.get(action="check.changed")
    assert event.details["check"] == {
        "old": "Gone has a record younger than 3 hours",
        "new": "Gone has a record younger than 5 hours",
    }
    with pytest.raises(CheckRefusedError, match="no device “Lost”"):
        change_check(project=project, actor=owner, check_id=check.pk, wanted=newest("Lost"))


def test_another_device_of_the_same_name_is_a_change(world: tuple[Project, Account]) -> None:
    project, owner = world
    check = Check.objects.create(
        project=project, kind="newest", device_id="9" * 24, device_name="Twin", hours=3
    )
    change_check(project=project, actor=owner, check_id=check.pk, wanted=newest(TWINS[1], 3))
    event = AuditEvent.objects.get(action="check.changed")
    assert event.details["check"] == {
        "old": f"Twin has a record younger than 3 hours ({'9' * 24})",
        "new": f"Twin has a record younger than 3 hours ({TWINS[1]})",
    }


@pytest.mark.django_db
class TestWithoutABackup:
    @pytest.fixture
    def project(self) -> Project:
        return make_project_row()

    @pytest.fixture
    def owner(self, project: Project) -> Account:
        return project.created_by

    def test_a_device_cannot_be_named(self, project: Project, owner: Account) -> None:
        with pytest.raises(CheckRefusedError, match="There is no backup yet"):
            add_check(project=project, actor=owner, wanted=newest("Truck"))
        assert offered_names(project) == []

    def test_nor_in_one_that_cannot_be_read(
        self, project: Project, owner: Account, storage_url: str
    ) -> None:
        make_snapshot(project)
        with pytest.raises(CheckRefusedError, match="cannot be read right now"):
            add_check(project=project, actor=owner, wanted=newest("Truck"))

    def test_there_is_room_for_twenty(self, project: Project, owner: Account) -> None:
        for number in range(MAX_CHECKS):
            add_check(
                project=project, actor=owner, wanted=WantedCheck("devices", at_least=number + 1)
            )
        with pytest.raises(CheckRefusedError, match="up to 20 checks"):
            add_check(project=project, actor=owner, wanted=WantedCheck("devices", at_least=99))

    def test_what_is_gone_or_anothers_is_none(self, project: Project, owner: Account) -> None:
        theirs = Check.objects.create(project=make_project_row(), kind="devices", at_least=1)
        wanted = WantedCheck("devices", at_least=2)
        for check_id in (theirs.pk, uuid4()):
            asked = {"project": project, "actor": owner, "check_id": check_id}
            assert remove_check(**asked) is None
            assert change_check(**asked, wanted=wanted) is None
        theirs.refresh_from_db()
        assert theirs.at_least == 1
        assert not AuditEvent.objects.filter(action__startswith="check.").exists()

    def test_who_has_lost_the_right_changes_nothing(self, project: Project) -> None:
        check = Check.objects.create(project=project, kind="devices", at_least=1)
        for account in (make_account(), project.created_by):
            Membership.objects.filter(project=project, account=account).update(role="collaborator")
            asked = {"project": project, "actor": account}
            wanted = WantedCheck("devices", at_least=2)
            with pytest.raises(RightLostError):
                add_check(**asked, wanted=wanted)
            with pytest.raises(RightLostError):
                change_check(**asked, check_id=check.pk, wanted=wanted)
            with pytest.raises(RightLostError):
                remove_check(**asked, check_id=check.pk)
        assert list(Check.objects.values_list("at_least", flat=True)) == [1]

    def test_a_removed_one_is_recorded_once(self, project: Project, owner: Account) -> None:
        check = Check.objects.create(project=project, kind="devices", at_least=1)
        for _ in range(2):
            remove_check(project=project, actor=owner, check_id=check.pk)
        event = AuditEvent.objects.get(action="check.removed")
        assert (event.subject, event.account_id) == ("At least 1 device", owner.pk)


@pytest.mark.django_db(transaction=True)
def test_two_that_add_the_last_one_at_once_do_not_both() -> None:
    project = make_project_row()
    for number in range(MAX_CHECKS - 1):
        Check.objects.create(project=project, kind="devices", at_least=number + 1)
    refused = []

    def add(number: int) -> None:
        wanted = WantedCheck("devices", at_least=100 + number)
        try:
            add_check(project=project, actor=project.created_by, wanted=wanted)
        except CheckRefusedError as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=add, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (Check.objects.filter(project=project).count(), len(refused)) == (MAX_CHECKS, 3)


@pytest.mark.django_db(transaction=True)
def test_one_that_is_removed_while_it_is_changed_is_gone() -> None:
    project = make_project_row()
    check = Check.objects.create(project=project, kind="devices", at_least=1)
    asked = {"project": project, "actor": project.created_by, "check_id": check.pk}
    changed: list[object] = []

    def change() -> None:
        try:
            changed.append(change_check(**asked, wanted=WantedCheck("devices", at_least=2)))
        except DatabaseError as error:
            changed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=change)
    with transaction.atomic():
        # Removing also locks the membership, so the racing request is another owner's.
        Check.objects.filter(pk=check.pk).delete()
        thread.start()
        wait_for_waiting()
    thread.join()
    assert changed == [None]


@pytest.mark.django_db(transaction=True)
def test_nothing_is_locked_while_storage_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project_row()
    fields = {"kind": "newest", "device_id": DEVICE, "device_name": "Truck", "hours": 26}
    check = Check.objects.create(project=project, **fields)
    locked: list[OperationalError] = []

    def find_slowly(project: Project, text: str) -> CheckTarget:
        thread = threading.Thread(target=lock)
        thread.start()
        thread.join()
        return CheckTarget(TWINS[0], text)

    def lock() -> None:
        try:
            with transaction.atomic():
                MainDatabase.objects.select_for_update(nowait=True).get(pk=project.pk)
                Membership.objects.select_for_update(nowait=True).get(project=project)
        except OperationalError as error:
            locked.append(error)
        finally:
            connection.close()

    monkeypatch.setattr("restores.checks.check_settings.find_device", find_slowly)
    asked = {"project": project, "actor": project.created_by}
    assert change_check(**asked, check_id=check.pk, wanted=newest("Lorry"))
    add_check(**asked, wanted=newest("Lorry", 27))
    assert locked == []


@pytest.mark.django_db(transaction=True)
def test_a_project_that_is_shut_down_at_the_same_moment_is_no_deadlock() -> None:
    project, other = make_project_row(), make_account()
    make_membership(project, other, Membership.Role.OWNER)
    failed = []

    def stop() -> None:
        try:
            shut_down(project=project, actor=project.created_by, typed_name=project.name)
        except OperationalError as error:
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=stop)
    with transaction.atomic():
        # Another owner's request holds these locks when it is about to insert its check.
        hold_right(other, Permission.MANAGE_BACKUPS, project)
        MainDatabase.objects.select_for_update().get(pk=project.pk)
        thread.start()
        wait_for_waiting()
        wanted = WantedCheck("devices", at_least=1)
        add_check(project=project, actor=other, wanted=wanted)
    thread.join()
    assert failed == []
    project.refresh_from_db()
    assert (project.state, Check.objects.count()) == ("shut_down", 1)


def wait_for_waiting() -> None:
    """Wait until another session waits for this session's lock."""
    deadline = time.monotonic() + 30
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute(
                "SELECT FROM pg_locks"
                " WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
            )
            if cursor.fetchone() is not None:
                return
            time.sleep(0.01)
    pytest.fail("nobody waits")
