"""The page of recovery objectives: targets, current state, and past breaches."""

import re
from datetime import datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.objectives.breach_scan import find_breaches
from backups_portal.objectives.models import Breach, Objective
from backups_portal.objectives.objective_report import report_of
from backups_portal.objectives.objective_settings import change_objectives, objectives_of
from backups_portal.projects.access import RightLostError
from backups_portal.projects.models import MainDatabase, Membership, Project
from tests import factories
from tests.pageforms import form_of

pytestmark = pytest.mark.django_db
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
URL = "/projects/cold-chain/objectives/"
POSSIBLE = {"max_loss_hours": "26", "max_restore_minutes": "30"}


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def project(owner: Account, now: datetime) -> Project:
    made = factories.make_project_row(
        owner=owner, name="Cold Chain", slug="cold-chain", created_at=now - 40 * HOUR
    )
    MainDatabase.objects.update(next_snapshot_at=now + HOUR)
    return made


@pytest.fixture
def page(client: Client, owner: Account, project: Project) -> Client:
    client.force_login(owner)
    return client


def text_of(response: Any) -> str:
    """Return the text of the page without markup."""
    main = re.sub(r"<[^>]+>", " ", response.text.split("<main")[1])
    return " ".join(unescape(main).replace("\N{NO-BREAK SPACE}", " ").split())


def set_objective(project: Project, target: int, since: datetime, kind: str = "point") -> Objective:
    return Objective.objects.create(
        project=project, kind=kind, target=target, began_at=since, checked_at=since
    )


def fields_of(response: Any) -> dict[str, str]:
    return form_of(response.text, URL)


class TestSaving:
    def test_both_are_saved_and_recorded(self, page: Client, project: Project) -> None:
        answer = page.post(URL, POSSIBLE, follow=True)
        assert "Your recovery objectives are saved." in text_of(answer)
        assert objectives_of(project.pk) == {"max_loss_hours": 26, "max_restore_minutes": 30}
        event = AuditEvent.objects.get(action="objective.changed")
        assert event.account_email == "olivia@example.com"
        assert event.details == {
            "max_loss_hours": {"old": "none", "new": 26},
            "max_restore_minutes": {"old": "none", "new": 30},
        }
        assert "Data lost at most: none → 26 hours, Back within: none → 30 minutes" in text_of(
            answer
        )

    @pytest.mark.parametrize("half", POSSIBLE)
    def test_either_may_be_empty(self, page: Client, project: Project, half: str) -> None:
        page.post(URL, POSSIBLE)
        page.post(URL, {**POSSIBLE, half: ""})
        expected = {name: int(value) for name, value in POSSIBLE.items()}
        assert objectives_of(project.pk) == {**expected, half: None}

    def test_the_same_again_is_no_change(self, page: Client, project: Project) -> None:
        page.post(URL, POSSIBLE)
        page.post(URL, POSSIBLE)
        assert AuditEvent.objects.filter(action="objective.changed").count() == 1
        assert Objective.objects.count() == 2

    @pytest.mark.parametrize(
        "value",
        ["0", "-1", "1.5", "8761", "x", "٣", "1_0", "9" * 40, "0" * 8 + "8761", "0" * 8 + "9" * 12],
    )
    def test_a_wrong_number_is_refused_and_kept(
        self, page: Client, project: Project, value: str
    ) -> None:
        answer = page.post(URL, {"max_loss_hours": value, "max_restore_minutes": "30"})
        assert answer.status_code == 400
        assert f"“{value}” is not a number of hours." in answer.text
        assert fields_of(answer)["max_loss_hours"] == value
        assert fields_of(answer)["max_restore_minutes"] == "30"
        assert not Objective.objects.exists()

    def test_who_lost_the_right_a_moment_ago_changes_nothing(
        self, project: Project, owner: Account
    ) -> None:
        Membership.objects.update(role="collaborator")
        with pytest.raises(RightLostError):
            change_objectives(project=project, actor=owner, wanted={"max_loss_hours": 48})
        assert not Objective.objects.exists()


class TestImpossible:
    def test_it_is_told_before_and_saved_when_agreed_to(
        self, page: Client, project: Project
    ) -> None:
        answer = page.post(URL, {"max_loss_hours": "12", "max_restore_minutes": ""})
        assert answer.status_code == 200
        assert "“At most 12 hours” can't be met: backups are taken once a day" in text_of(answer)
        assert not Objective.objects.exists()
        sent = fields_of(answer)
        assert page.post(URL, sent).status_code == 302
        assert objectives_of(project.pk)["max_loss_hours"] == 12
        # Unchanged values need no confirmation.
        assert page.post(URL, {**sent, "max_restore_minutes": "30"}).status_code == 302

    def test_who_agrees_to_one_has_not_agreed_to_another(
        self, page: Client, project: Project
    ) -> None:
        sent = fields_of(page.post(URL, {"max_loss_hours": "12"}))
        answer = page.post(URL, {**sent, "max_loss_hours": "6"})
        assert "“At most 6 hours”" in text_of(answer)
        assert not Objective.objects.exists()

    def test_restores_that_are_slower_already(
        self, page: Client, project: Project, now: datetime
    ) -> None:
        factories.make_snapshot(
            project, verdict="passed", proven_at=now, restore_seconds=45 * 60, taken_at=now
        )
        answer = page.post(URL, {"max_restore_minutes": "30"})
        assert "the last measured restore took 45 min" in text_of(answer)

    def test_proofs_that_are_off(self, page: Client, project: Project) -> None:
        MainDatabase.objects.update(proof_policy="off")
        assert "proofs are off" in text_of(page.post(URL, {"max_restore_minutes": "30"}))


class TestTwoOwners:
    def test_the_same_one_is_asked_about(self, page: Client, project: Project) -> None:
        form = fields_of(page.get(URL))
        other = factories.make_account("other@example.com")
        factories.make_membership(project, other, "owner")
        theirs = Client()
        theirs.force_login(other)
        theirs.post(URL, POSSIBLE)
        answer = page.post(URL, {**form, "max_loss_hours": "48"})
        assert answer.status_code == 409
        assert "other@example.com changed this from “none” to “26 hours”" in answer.text
        assert objectives_of(project.pk)["max_loss_hours"] == 26
        again = fields_of(answer)
        assert again["max_loss_hours"] == "48"
        assert page.post(URL, again).status_code == 302
        assert objectives_of(project.pk) == {"max_loss_hours": 48, "max_restore_minutes": 30}

    def test_the_other_one_stays_as_it_is_by_now(self, page: Client, project: Project) -> None:
        form = fields_of(page.get(URL))
        page.post(URL, {**form, "max_loss_hours": "26"})
        answer = page.post(URL, {**form, "max_restore_minutes": "30"}, follow=True)
        assert objectives_of(project.pk) == {"max_loss_hours": 26, "max_restore_minutes": 30}
        assert "you changed “Data lost at most” from “none” to “26 hours”. That stays." in text_of(
            answer
        )


class TestStanding:
    def test_met(self, page: Client, project: Project, now: datetime) -> None:
        set_objective(project, 26, now - 10 * DAY)
        set_objective(project, 30, now - 10 * DAY, kind="time")
        factories.make_snapshot(
            project,
            taken_at=now - 5 * HOUR,
            verdict="passed",
            proven_at=now - 4 * HOUR,
            restore_seconds=600,
        )
        find_breaches(now)
        for address in (URL, "/projects/cold-chain/main-database/"):
            said = text_of(page.get(address))
            assert "Recovery point Met The newest good backup is 5 h old; at most 26 hours" in said
            assert "Recovery time Met Restoring took 10 min when it was measured, 4 h" in said

    @pytest.mark.parametrize("is_scanned", [True, False])
    def test_missed_since_the_moment_it_broke(
        self, page: Client, project: Project, now: datetime, is_scanned: bool
    ) -> None:
        set_objective(project, 26, now - 10 * DAY)
        factories.make_snapshot(project, taken_at=now - 31 * HOUR, finished_at=now - 31 * HOUR)
        if is_scanned:
            find_breaches(now)
        said = page.get(URL)
        assert "the newest good backup is 1 d 7 h old" in text_of(said)
        began = (now - 5 * HOUR).isoformat()
        assert re.search(rf'Missed since\s*<time datetime="{re.escape(began)}"', said.text)
        assert ("Still missed" in said.text) == is_scanned
        assert ("newest backup 1 d 7 h old" in text_of(said)) == is_scanned

    def test_history_with_when_it_was_met_again(
        self, page: Client, project: Project, now: datetime
    ) -> None:
        objective = set_objective(project, 26, now - 100 * DAY)
        for days in (95, 40):
            Breach.objects.create(
                objective=objective,
                began_at=now - days * DAY,
                ended_at=now - days * DAY + 5 * HOUR,
                end="met",
                worst_seconds=31 * 3600,
            )
        said = page.get(URL)
        assert text_of(said).count("newest backup 1 d 7 h old") == 1
        assert "Met again" in said.text
        assert (now - 40 * DAY + 5 * HOUR).isoformat() in said.text

    def test_neither_before_the_first_backup(self, page: Client, project: Project) -> None:
        page.post(URL, POSSIBLE)
        said = text_of(page.get(URL))
        assert (
            "Recovery point Not measured At most 26 hours. Measured from the first backup" in said
        )
        assert "Recovery time Not measured At most 30 minutes. Measured once" in said

    def test_without_any_good_backup(self, page: Client, project: Project, now: datetime) -> None:
        set_objective(project, 26, now - 10 * DAY)
        MainDatabase.objects.update(next_snapshot_at=now - HOUR)
        said = text_of(page.get(URL))
        assert "of data are not backed up; at most 26 hours may be lost" in said
        assert "newest good backup" not in said.split("Objectives")[0]

    def test_not_measured_while_it_is_shut_down(self, page: Client, project: Project) -> None:
        page.post(URL, POSSIBLE)
        Project.objects.update(state="shut_down", shut_down_at=timezone.now())
        assert "Not measured while the project is shut down." in text_of(page.get(URL))

    def test_the_overview_says_what_is_missed(
        self, page: Client, project: Project, now: datetime
    ) -> None:
        set_objective(project, 26, now - 10 * DAY)
        factories.make_snapshot(project, taken_at=now - 31 * HOUR, finished_at=now - 31 * HOUR)
        said = page.get("/projects/cold-chain/")
        assert "Recovery point objective missed" in text_of(said)
        assert f'href="{URL}"' in said.text


def test_a_report_has_what_was_in_force_and_missed(project: Project, now: datetime) -> None:
    old = set_objective(project, 48, now - 90 * DAY)
    old.ended_at = now - 50 * DAY
    old.save()
    current = set_objective(project, 26, now - 50 * DAY)
    breaches = [
        Breach.objects.create(
            objective=current, began_at=now - days * DAY, ended_at=end, end="met", worst_seconds=1
        )
        for days, end in ((45, now - 44 * DAY), (31, now - 29 * DAY), (10, now - 9 * DAY))
    ]
    found = report_of(project, now - 30 * DAY, now)
    assert (found.objectives, found.breaches) == ([current], breaches[1:])
    found = report_of(project, now - 60 * DAY, now - 40 * DAY)
    assert (found.objectives, found.breaches) == ([old, current], breaches[:1])
