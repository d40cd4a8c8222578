"""Restores requested by programs, and their outcome."""

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.billing.charge_ledger import current_quote
from backups_portal.billing.models import Charge
from backups_portal.projectdb.provisioning import drop_database
from backups_portal.projects.database_dsn import server_url
from backups_portal.projects.models import Project
from restores.models import Restore
from snapshots.models import Snapshot
from tests import factories
from tests.browser.scene import live_project, stored_backup
from tests.conftest import database_of_this_test
from tests.contract.server import running
from tests.forked_modules import ModuleProcess
from tests.manual.pages import fence
from tests.portal_api.conftest import Program

WORKER_SECONDS = 90
ACCEPTED = {"name": "Cold Chain again", "accept_charges": True}


def restores_of(snapshot: Snapshot) -> str:
    return f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/restores"


@pytest.mark.django_db
class TestAsking:
    """Which requests are queued, and which are refused."""

    def test_a_restore_is_queued_with_its_price(self, snapshot: Snapshot, program: Program) -> None:
        response = program.ask("POST", restores_of(snapshot), ACCEPTED)
        assert response.status_code == 202
        restore = Restore.objects.get()
        assert response["Location"] == f"/api/v1/restores/{restore.pk}"
        shown = response.json()
        assert (shown["state"], shown["step"], shown["name"]) == (
            *("queued", "waiting"),
            "Cold Chain again",
        )
        assert (shown["creation_fee"], shown["source"]) == ("25.00", "cold-chain")
        assert program.get(f"/restores/{restore.pk}") == shown
        (listed,) = program.get("/projects/cold-chain/restores")["items"]
        assert {**listed, "report": {}} == shown
        event = AuditEvent.objects.get(action="restore.requested")
        assert event.details["via"].startswith("API token")

    def test_the_same_key_asks_for_the_same_restore(
        self, snapshot: Snapshot, program: Program
    ) -> None:
        key = {"Idempotency-Key": "drill-2026-03-20"}
        answers = [program.ask("POST", restores_of(snapshot), ACCEPTED, **key) for _ in range(3)]
        assert len({answer.json()["id"] for answer in answers}) == Restore.objects.count() == 1
        # This also holds if the portal chooses the name.
        key = {"Idempotency-Key": str(uuid.uuid4())}
        body = {"accept_charges": True}
        answers = [program.ask("POST", restores_of(snapshot), body, **key) for _ in range(2)]
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert Restore.objects.count() == 2

    def test_a_key_is_for_one_request(self, snapshot: Snapshot, program: Program) -> None:
        key = {"Idempotency-Key": "once"}
        program.ask("POST", restores_of(snapshot), ACCEPTED, **key)
        other = {**ACCEPTED, "name": "Other"}
        problem = program.refused(422, "POST", restores_of(snapshot), other, **key)
        assert problem["code"] == "idempotency_key_reused"
        assert Restore.objects.count() == 1

    def test_no_account_meets_the_keys_of_another(
        self, snapshot: Snapshot, program: Program
    ) -> None:
        other = factories.make_account()
        factories.make_membership(snapshot.project, other, "owner")
        key = {"Idempotency-Key": "1"}
        for one in (program, Program(factories.make_token(other))):
            assert one.ask("POST", restores_of(snapshot), ACCEPTED, **key).status_code == 202
        assert Restore.objects.count() == 2

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"accept_charges": False}, "accept_charges"),
            ({"accept_charges": "true"}, "accept_charges"),
            ({"accept_charges": 1}, "accept_charges"),
            ({"accept_charges": None}, "accept_charges"),
            ({"name": ""}, "name"),
            ({"name": "  "}, "name"),
            ({"name": "x" * 101}, "name"),
            ({"name": "x" * 100_000}, "name"),
            ({"name": "a\0b"}, "name"),
            ({"name": "COLD chain"}, "name"),
            ({"name": ["x"]}, "name"),
            ({"server": "other"}, "server"),
            # A script sends this if it found no terms in the quote.
            ({"accepted_terms": ""}, "accepted_terms"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, snapshot: Snapshot, program: Program, changes: dict[str, Any], field: str
    ) -> None:
        problem = program.refused(422, "POST", restores_of(snapshot), {**ACCEPTED, **changes})
        assert problem["errors"][0]["field"] == field
        assert not Restore.objects.exists()

    def test_charges_are_accepted_in_so_many_words(
        self, snapshot: Snapshot, program: Program
    ) -> None:
        problem = program.refused(422, "POST", restores_of(snapshot), {})
        assert problem["detail"] == "Accept the charges to create a project from this backup."

    def test_only_the_price_that_was_accepted_is_charged(
        self, snapshot: Snapshot, program: Program, settings: Settings
    ) -> None:
        quote = program.get(f"/projects/cold-chain/backups/{snapshot.pk}/quote")
        body = {**ACCEPTED, "accepted_terms": quote["terms"]}
        settings.PROJECT_CREATION_FEE = Decimal(90)
        problem = program.refused(409, "POST", restores_of(snapshot), body)
        assert (problem["code"], problem["terms"]) == ("charges_changed", current_quote().terms)
        assert not Restore.objects.exists()
        key, body = {"Idempotency-Key": "once"}, {**body, "accepted_terms": problem["terms"]}
        first = program.ask("POST", restores_of(snapshot), body, **key)
        assert (first.status_code, first.json()["creation_fee"]) == (202, "90.00")
        settings.PROJECT_CREATION_FEE = Decimal(95)
        again = program.ask("POST", restores_of(snapshot), body, **key)
        assert again.json()["id"] == first.json()["id"], "what was accepted stays so"
        body["accepted_terms"] = quote["terms"]
        program.refused(422, "POST", restores_of(snapshot), body, **key)

    @pytest.mark.parametrize(
        "fields",
        [
            {"state": "failed"},
            {"state": "expired"},
            {"verdict": "failed", "verdict_reason": "A row differs."},
        ],
    )
    def test_what_cannot_be_restored_is_a_conflict(
        self, snapshot: Snapshot, program: Program, fields: dict[str, str]
    ) -> None:
        more = {"proven_at": snapshot.taken_at} if "verdict" in fields else {"reason": "It broke."}
        Snapshot.objects.filter(pk=snapshot.pk).update(**fields, **more)
        program.refused(409, "POST", restores_of(snapshot), ACCEPTED)

    def test_a_failed_one_is_tried_again(self, snapshot: Snapshot, program: Program) -> None:
        restore = factories.make_restore(
            snapshot,
            requested_by=snapshot.project.created_by,
            state="failed",
            reason="It broke.",
            cause="storage",
        )
        assert program.get(f"/restores/{restore.pk}")["cause"] == "storage"
        response = program.ask("POST", f"/restores/{restore.pk}/retry")
        assert (response.status_code, response.json()["state"]) == (202, "queued")
        assert (response.json()["reason"], response.json()["cause"]) == ("", "")
        program.refused(409, "POST", f"/restores/{restore.pk}/retry")

    def test_another_owner_is_not_led_into_the_new_project(
        self, snapshot: Snapshot, program: Program
    ) -> None:
        other = factories.make_account()
        factories.make_membership(snapshot.project, other, "owner")
        made = factories.make_project_row(owner=other, slug="theirs")
        restore = factories.make_restore(
            snapshot, requested_by=other, state="completed", project=made
        )
        assert program.get(f"/restores/{restore.pk}")["project"] is None
        theirs = Program(factories.make_token(other))
        assert theirs.get(f"/restores/{restore.pk}")["project"] == "theirs"


def wait_for_the_end(restore: Restore) -> None:
    deadline = time.monotonic() + WORKER_SECONDS
    while restore.state != Restore.State.COMPLETED:
        assert time.monotonic() < deadline, restore.reason
        time.sleep(0.5)
        restore.refresh_from_db()


@pytest.fixture
def real_project(celery_worker: ModuleProcess) -> Iterator[Project]:
    """A project with a database of ten readings and a stored backup, dropped afterwards."""
    owner = factories.make_account()
    project = live_project(owner, "Cold Chain")
    stored_backup(project)
    yield project
    for made in Project.objects.select_related("server").exclude(server__name="factory"):
        drop_database(server_url(made.server), prefix=made.prefix)


@pytest.mark.django_db(transaction=True)
def test_a_script_restores_the_newest_backup(real_project: Project) -> None:
    """Run the drill of .github/docs/portal-api.md with a real worker."""
    account: Account = real_project.created_by
    program = Program(factories.make_token(account, "backups:read", "restores:write"))
    backups = f"/projects/{real_project.slug}/backups"
    (newest,) = program.get(backups, restorable="true", limit=1)["items"]
    response = program.ask(
        "POST", f"{backups}/{newest['id']}/restores", ACCEPTED, **{"Idempotency-Key": "drill"}
    )
    assert response.status_code == 202, response.content
    deadline = time.monotonic() + WORKER_SECONDS
    restore = response.json()
    while restore["state"] in ("queued", "running") and time.monotonic() < deadline:
        time.sleep(0.5)
        restore = program.get(f"/restores/{restore['id']}")
    assert restore["state"] == "completed", restore
    assert restore["report"]["table_rows"]["variable"] == 10
    made = Project.objects.get(slug=restore["project"])
    assert made.name == "Cold Chain again"
    assert Charge.objects.filter(project_id=made.pk).count() == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(not shutil.which("jq") or not shutil.which("curl"), reason="no jq or no curl")
def test_the_drill_asks_for_a_restore_as_it_is_printed(
    real_project: Project, settings: Settings, tmp_path: Path
) -> None:
    account: Account = real_project.created_by
    token = factories.make_token(account, "backups:read", "restores:write")
    environment = {**database_of_this_test(), "SNAPSHOT_STORAGE": settings.SNAPSHOT_STORAGE}
    with running("backups_portal.asgi", environment, tmp_path / "web.log") as url:
        script = fence("portal-api.md", "api=").replace("https://portal.example.com", url)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env={**os.environ, "BACKUPS_TOKEN": token},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    (restore,) = Restore.objects.all()
    assert json.loads(done.stdout)["state"] != Restore.State.FAILED
    # End the worker's task before the databases are dropped.
    wait_for_the_end(restore)
