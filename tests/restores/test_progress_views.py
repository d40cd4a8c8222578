"""A restore's progress and outcome."""

import re
from datetime import date, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.projects.models import Project
from restores.models import Restore
from restores.sought_rows import SoughtRows
from restores.views import WHILE_POSTPONED
from snapshots.models import Snapshot
from tests import factories
from tests.projectdatabases import DEVICE
from tests.restores.test_views import text_of, words

pytestmark = pytest.mark.django_db


class TestProgress:
    """The page shows the progress, then the outcome."""

    @pytest.fixture
    def owner(self, client: Client) -> Account:
        account = factories.make_account(name="Olivia")
        client.force_login(account)
        return account

    @pytest.fixture
    def snapshot(self, owner: Account, storage_url: str) -> Snapshot:
        return factories.make_snapshot(factories.make_project_row(owner=owner, name="Cold Chain"))

    def make(self, snapshot: Snapshot, owner: Account, **fields: Any) -> Restore:
        fields = {"state": "running", "step": "loading", "name": "Rescue", **fields}
        return factories.make_restore(snapshot, requested_by=owner, **fields)

    def test_steps_and_rows(self, client: Client, snapshot: Snapshot, owner: Account) -> None:
        restore = self.make(snapshot, owner, rows_done=1500, rows_total=6000)
        for url in (f"/restores/{restore.pk}/", f"/restores/{restore.pk}/status/"):
            page = client.get(url).content.decode()
            assert 'value="1500" max="6000"' in page
            assert "1,500 of 6,000 rows" in words(page)
            states = re.findall(r'class="run-step is-(\w+)"', page)
            assert states == ["done", "done", "current", "ahead", "ahead", "ahead"]

    def test_estimate(self, client: Client, snapshot: Snapshot, owner: Account) -> None:
        since = timezone.now() - timedelta(seconds=3000)
        restore = self.make(
            snapshot, owner, step_started_at=since, rows_done=150_000, rows_total=600_000
        )
        text = text_of(client.get(f"/restores/{restore.pk}/status/"))
        assert "150,000 of 600,000 rows, 50 rows/s, about 2 h 30 min left" in text

    def test_a_postponed_one_is_not_asked_for_every_second(
        self, client: Client, snapshot: Snapshot, owner: Account
    ) -> None:
        then = timezone.now() + timedelta(minutes=5)
        restore = self.make(snapshot, owner, state="queued", reason="Away.", lease_until=then)
        page = client.get(f"/restores/{restore.pk}/status/").content.decode()
        assert f'hx-trigger="every {WHILE_POSTPONED}s"' in page

    def test_page_and_refresh_are_the_same(
        self, client: Client, snapshot: Snapshot, owner: Account
    ) -> None:
        restore = self.make(snapshot, owner)
        part = client.get(f"/restores/{restore.pk}/status/")
        assert "<html" not in part.content.decode()
        assert text_of(part) in text_of(client.get(f"/restores/{restore.pk}/"))

    @pytest.mark.parametrize("state", ["queued", "running"])
    def test_it_refreshes_itself(
        self, client: Client, snapshot: Snapshot, owner: Account, state: str
    ) -> None:
        restore = self.make(snapshot, owner, state=state)
        page = client.get(f"/restores/{restore.pk}/status/").content.decode()
        assert f'hx-get="/restores/{restore.pk}/status/"' in page
        assert 'hx-trigger="every 1s"' in page

    @pytest.mark.parametrize("state", ["completed", "failed"])
    def test_it_stops(self, client: Client, snapshot: Snapshot, owner: Account, state: str) -> None:
        restore = self.make(snapshot, owner, state=state, reason="It broke.")
        assert "hx-get" not in client.get(f"/restores/{restore.pk}/status/").content.decode()

    def test_result(self, client: Client, snapshot: Snapshot, owner: Account) -> None:
        now = timezone.now()
        restore = self.make(
            snapshot,
            owner,
            state="completed",
            step="done",
            rows_done=6000,
            started_at=now - timedelta(seconds=8),
            finished_at=now,
            project=factories.make_project_row(owner=owner, slug="rescue"),
            report={
                "table_rows": {"device": 44, "variable": 5956},
                "tokens": 57,
                "missing": {
                    "analyses": ["Door <alarm>"],
                    "files": [{"path": "logos/a.png", "used_by": ["profile Cold Chain"]}],
                    "files_total": 14,
                    "attachments": 3,
                },
            },
        )
        response = client.get(f"/restores/{restore.pk}/")
        assert 'href="/projects/rescue/"' in response.content.decode()
        text = text_of(response)
        for part in (
            "6,000 rows restored and compared with the backup in 8.0 s",
            "Variables 5,956",
            "57 tokens of the backup have new values.",
            "Door &lt;alarm&gt;",
            "logos/a.png used by profile Cold Chain",
            "14 files and 3 attachments",
            "25.00 USD was charged for creating the project.",
            "Using the TagoIO CLI for bulk transfer.",
        ):
            assert part in text

    def test_a_period_is_shown_and_moved_back_whole(
        self, client: Client, snapshot: Snapshot, owner: Account
    ) -> None:
        sought = SoughtRows(DEVICE, "Truck 07", date(2024, 3, 1), date(2024, 3, 7), "wind")
        restore = self.make(
            *(snapshot, owner),
            state="completed",
            step="done",
            project=factories.make_project_row(owner=owner, slug="rescue"),
            sought=sought.as_json(),
        )
        page = client.get(f"/restores/{restore.pk}/").content.decode()
        assert "Made for Truck 07, wind, 1 Mar 2024 to 7 Mar 2024 (UTC)." in words(page)
        assert "Variable wind Period 1 Mar 2024 to 7 Mar 2024 (UTC)" in words(page)
        assert (
            "variable=wind&start=2024-03-01T00%3A00%3A00%2B00%3A00&end=2024-03-08T00"
            in unescape(page)
        )

    @pytest.mark.parametrize("sought", [SoughtRows(DEVICE, "Truck 07", date(2024, 3, 1)), None])
    def test_result_leads_back(
        self, client: Client, snapshot: Snapshot, owner: Account, sought: SoughtRows | None
    ) -> None:
        made = factories.make_project_row(owner=owner, slug="rescue")
        restore = self.make(
            *(snapshot, owner),
            state="completed",
            step="done",
            project=made,
            sought=sought and sought.as_json(),
        )
        home = snapshot.project
        page = client.get(f"/restores/{restore.pk}/").content.decode()
        first = page[page.index('<section class="card">') : page.index("</section>")]
        form = f"/projects/rescue/transfers/?from=rescue&into={home.slug}"
        if sought:
            assert "Move Truck 07 back to Cold Chain" in words(first)
            assert "Device Truck 07 Period 1 Mar 2024 (UTC)" in words(first)
            assert f'action="/restores/{restore.pk}/move-back/"' in first
            period = "start=2024-03-01T00:00:00+00:00&end=2024-03-02T00:00:00+00:00"
            form += f"&device={DEVICE}&{period.replace(':', '%3A').replace('+', '%2B')}"
        else:
            assert "Move data back to Cold Chain" in words(first)
        assert f'href="{form}"' in unescape(first)
        home.state = Project.State.SHUT_DOWN
        home.save()
        page = client.get(f"/restores/{restore.pk}/").content.decode()
        assert "Cold Chain is shut down. Start it again to move data back into it." in words(page)
        assert "/move-back/" not in page

    def test_a_result_that_is_shut_down_offers_to_start_it_again(
        self, client: Client, snapshot: Snapshot, owner: Account
    ) -> None:
        made = factories.make_project_row(owner=owner, slug="rescue", name="Rescue")
        restore = self.make(snapshot, owner, state="completed", step="done", project=made)
        offers = ('href="/projects/rescue/transfers/', 'id="api-url"')
        page = client.get(f"/restores/{restore.pk}/").content.decode()
        assert [offer for offer in offers if offer not in page] == []
        made.state, made.shut_down_at = Project.State.SHUT_DOWN, timezone.now()
        made.save()
        page = client.get(f"/restores/{restore.pk}/").content.decode()
        assert [offer for offer in offers if offer in page] == []
        assert "Rescue is shut down. Start it again to move data out of it." in words(page)
        assert 'href="/projects/rescue/data/"' in page

    def test_another_owner_cannot_enter_the_new_project(
        self, client: Client, snapshot: Snapshot, owner: Account
    ) -> None:
        project = factories.make_project_row(owner=owner, slug="rescue")
        restore = self.make(snapshot, owner, state="completed", step="done", project=project)
        other = factories.make_account()
        factories.make_membership(snapshot.project, other, "owner")
        client.force_login(other)
        page = client.get(f"/restores/{restore.pk}/").content.decode()
        assert "It belongs to Olivia." in page
        assert "/projects/rescue/" not in page

    def test_failure(self, client: Client, snapshot: Snapshot, owner: Account) -> None:
        restore = self.make(snapshot, owner, state="failed", reason="A segment is damaged.")
        response = client.get(f"/restores/{restore.pk}/")
        text = text_of(response)
        assert "A segment is damaged." in text
        assert "No database had been created yet." in text
        assert "No project was created and no charge was made." in text
        assert f'action="/restores/{restore.pk}/retry/"' in response.content.decode()
        assert 'class="run-step is-failed"' in response.content.decode()

    @pytest.mark.parametrize(
        ("fields", "what"),
        [
            ({"prefix": ""}, "The unfinished database and its role were removed."),
            (
                {"prefix": "0123abcd", "database": "bp_0123abcd"},
                "The unfinished database bp_0123abcd could not be removed yet.",
            ),
        ],
    )
    def test_a_failure_says_what_was_cleaned_up(
        self,
        client: Client,
        snapshot: Snapshot,
        owner: Account,
        fields: dict[str, str],
        what: str,
    ) -> None:
        fields = {"state": "failed", "reason": "No space.", "started_at": timezone.now(), **fields}
        restore = self.make(snapshot, owner, **fields)
        assert what in text_of(client.get(f"/restores/{restore.pk}/"))

    @pytest.mark.parametrize(
        ("fields", "why"),
        [
            ({"state": "expired"}, "The backup was removed when its retention period ended"),
            ({"verdict": "failed", "verdict_reason": "2 rows differ."}, "failed its proof"),
        ],
    )
    def test_no_retry_of_a_backup_that_cannot_be_restored_any_more(
        self, client: Client, snapshot: Snapshot, owner: Account, fields: dict[str, str], why: str
    ) -> None:
        restore = self.make(snapshot, owner, state="failed", reason="The server was away.")
        moment = timezone.now() if fields.get("verdict") else None
        Snapshot.objects.filter(pk=snapshot.pk).update(proven_at=moment, **fields)
        page = client.get(f"/restores/{restore.pk}/").content.decode()
        assert why in words(page)
        assert "Choose another backup" in words(page)
        for untrue in ("The backup is unchanged", "Try again", "Start over", "When you try again"):
            assert untrue not in words(page)

    @pytest.mark.parametrize(("cause", "is_damaged"), [("damaged", True), ("storage", False)])
    def test_a_damaged_backup_is_not_called_unchanged(
        self, client: Client, snapshot: Snapshot, owner: Account, cause: str, is_damaged: bool
    ) -> None:
        restore = self.make(
            snapshot, owner, state="failed", reason="A part is missing.", cause=cause
        )
        page = words(client.get(f"/restores/{restore.pk}/").content.decode())
        advice = "or try again once your operator has repaired it"
        assert (advice in page) == is_damaged
        assert ("The backup is unchanged" in page) != is_damaged
        assert "Try again" in page

    def test_retry_that_is_refused(
        self,
        client: Client,
        snapshot: Snapshot,
        owner: Account,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        restore = self.make(snapshot, owner)
        response = client.post(f"/restores/{restore.pk}/retry/")
        assert response.status_code == 409
        assert "Only a failed restore can be tried again." in text_of(response)
        assert "retry refused" in caplog.text
