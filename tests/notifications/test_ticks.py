"""The tick and the workers, in separate processes with their own connections."""

import time
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from backups_portal.audit.hash_chain import seal_events
from backups_portal.audit.recorder import record
from backups_portal.notifications.delivery import deliver
from backups_portal.notifications.message_queue import plan_deliveries
from backups_portal.notifications.models import Delivery
from backups_portal.ops.project_removal import remove_if_over
from backups_portal.ops.tasks import tick
from backups_portal.projects.models import Project
from backups_portal.projects.shutdown import shut_down
from tests.at_once import at_once
from tests.conftest import running_worker
from tests.notifications.conftest import Choose
from tests.notifications.receivers import Receiver
from tests.ops.test_metrics import figures

pytestmark = pytest.mark.django_db(transaction=True)
SECONDS = 30.0


def fail(project: Project, times: int = 1) -> None:
    for _ in range(times):
        record(action="snapshot.failed", actor=None, project=project, details={"reason": "It did."})
    seal_events()


def test_two_ticks_at_once_make_each_delivery_once(
    project: Project, choose: Choose, hook: Receiver
) -> None:
    choose(webhook=hook.url)
    fail(project, times=20)
    made: list[Any] = []
    at_once(*[lambda: made.extend(plan_deliveries(timezone.now()))] * 2)
    assert len(made) == len(set(made)) == Delivery.objects.count() == 20


def test_two_workers_with_one_message_send_once(
    project: Project, choose: Choose, hook: Receiver
) -> None:
    choose(webhook=hook.url)
    fail(project)
    (made,) = plan_deliveries(timezone.now())
    hook.hang = 1.0
    at_once(*[lambda: deliver(made)] * 4)
    assert len(hook.asked) == 1
    assert Delivery.objects.get().state == "sent"


def test_a_tick_and_a_real_worker(
    project: Project, choose: Choose, hook: Receiver, storage_url: str, tmp_path: Path
) -> None:
    choose(webhook=hook.url)
    fail(project)
    environment = {"WEBHOOK_PRIVATE_ADDRESSES": "1"}
    with running_worker(storage_url, tmp_path / "worker.log", environment=environment):
        tick()
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and not Delivery.objects.filter(state="sent").exists():
            time.sleep(0.1)
    assert len(hook.asked) == 1
    assert Delivery.objects.get().state == "sent"
    assert "T0PSECRET" not in (tmp_path / "worker.log").read_text()


def test_monitoring_counts_what_did_not_arrive(
    project: Project, choose: Choose, hook: Receiver, settings: Any
) -> None:
    settings.NOTIFICATION_RETRY_MINUTES = []
    choose(webhook=hook.url)
    fail(project, times=2)
    hook.answers = [500, 200]
    for delivery_id in plan_deliveries(timezone.now()):
        deliver(delivery_id)
    assert figures()["notifications_failed_last_day", "webhook"] == 1


def test_a_project_that_is_removed_leaves_none(
    project: Project, choose: Choose, hook: Receiver, storage_url: str
) -> None:
    choose(webhook=hook.url)
    fail(project)
    assert plan_deliveries(timezone.now())
    over = shut_down(project=project, actor=project.created_by, typed_name=project.name)
    assert over.removed_after
    # Its database never existed, so its removal stays incomplete; still no account can enter it.
    remove_if_over(project.pk, over.removed_after)
    project.refresh_from_db()
    assert project.state == "removed"
    assert not Delivery.objects.exists()
    assert not hasattr(project, "notification_settings")
    fail(project)
    assert plan_deliveries(timezone.now()) == []
