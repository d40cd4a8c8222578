"""The page of backup evidence, its signed file and its key."""

import io
import json
from datetime import UTC, date, datetime
from html import unescape

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.test import Client
from django.utils.html import strip_tags

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.evidence import views
from backups_portal.evidence.evidence_key import public_key
from backups_portal.evidence.evidence_requests import MAKERS
from backups_portal.evidence.signed_envelope import fingerprint, parse_public_key, read_evidence
from backups_portal.lib.bulkhead import FullError
from backups_portal.objectives.models import Breach, Objective
from backups_portal.projects.models import Project
from tests import factories
from tests.evidence.conftest import BAD, HOUR, NOW, backup, fill, happen

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("now")]


def read(browser: Client, project: Project, query: str = "", status: int = 200) -> str:
    """Return the text of the page."""
    response = browser.get(f"/projects/{project.slug}/evidence/{query}")
    assert response.status_code == status, response.content
    return " ".join(unescape(strip_tags(response.text)).split())


def document(browser: Client, project: Project, query: str = "") -> dict[str, object]:
    """Return the signed file's content after verifying it."""
    response = browser.get(f"/projects/{project.slug}/evidence/json/{query}")
    assert response.status_code == 200
    return read_evidence(io.BytesIO(response.content), public_key()).document


def events(project: Project, action: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(project_id=project.pk, action=action))


def test_says_first_how_the_period_went(browser: Client, project: Project) -> None:
    fill(project, date(2026, 10, 1), date(2026, 11, 29), without=(BAD,))
    backup(project, BAD, state="failed", cause="database_unreachable", reason="It is <away>.")
    happen(
        project,
        "snapshot.downloaded",
        NOW - HOUR,
        account_email="olivia@example.com",
        subject="Backup of 2026-11-28",
        address="192.0.2.7",
    )
    page = read(browser, project)
    for text in (
        "Backup evidence, Cold Chain, Q4 2026 As of 29 Nov 2026, 10:00 CET. Days and times are in",
        "59 of 60 days have a backup; 59 proven; 1 missed: database server unreachable.",
        "The period ends on 31 Dec 2026. This report covers it up to now.",
        "Daily at 02:00 (Europe/Berlin), kept for 30 days, proofs: the newest, once a week",
        "3 Nov 2026 Missed Database server unreachable It is <away>.",
        # Summer time ended on 25 October.
        "24 Oct 2026 Proven 24 Oct 2026, 03:00 CEST",
        "25 Oct 2026 Proven 25 Oct 2026, 02:00 CET",
        "Backup downloaded: 1.",
        "Backup downloaded Backup of 28 Nov 2026 olivia@example.com 29 Nov 2026, 09:00 CET",
        "No second storage",
        fingerprint(public_key()),
    ):
        assert text in page, page


def test_the_file_says_the_same_in_utc(browser: Client, project: Project) -> None:
    fill(project, date(2026, 10, 1), date(2026, 11, 29), without=(BAD,))
    found = document(browser, project)
    assert (found["title"], found["as_of"]) == (
        "Backup evidence, Cold Chain, Q4 2026",
        "2026-11-29T09:00:00Z",
    )
    assert found["made_by"] == "olivia@example.com"
    assert found["period"] == {
        "name": "Q4 2026",
        "from": "2026-10-01",
        "to": "2026-12-31",
        "time_zone": "Europe/Berlin",
        "begins_at": "2026-09-30T22:00:00Z",
        "ends_at": "2026-12-31T23:00:00Z",
        "is_over": False,
    }
    assert found["summary"]["missed_by_cause"] == {"no cause recorded": 1}
    days = {line["day"]: line for line in found["days"]}
    assert len(days) == 60
    assert (days["2026-11-03"]["result"], days["2026-11-03"]["backup"]) == ("missed", None)
    assert days["2026-11-04"]["backup"]["taken_at"] == "2026-11-04T01:00:00Z"
    assert days["2026-11-04"]["backup"]["restore_seconds"] == 2.5


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("?quarter=2026-Q4", "Q4 2026"),
        ("?from=2026-11-01&to=2026-11-30", "1 Nov 2026 to 30 Nov 2026"),
        ("?from=2026-11-03&to=2026-11-03", "3 Nov 2026"),
        # A single date is completed by the end or the beginning of its quarter.
        ("?from=2026-11-01", "1 Nov 2026 to 31 Dec 2026"),
        ("?to=2026-11-01", "1 Oct 2026 to 1 Nov 2026"),
        ("?from=2026-10-01&to=2026-12-31", "Q4 2026"),
    ],
)
def test_a_period_is_a_quarter_or_days(
    browser: Client, project: Project, query: str, name: str
) -> None:
    fill(project, date(2026, 10, 1), date(2026, 11, 29))
    assert f"Backup evidence, Cold Chain, {name} As of" in read(browser, project, query)
    assert document(browser, project, query)["period"]["name"] == name


@pytest.mark.parametrize(
    ("query", "status", "why"),
    [
        ("?from=2026-11-02&to=2026-11-01", 400, "The last day is before the first day."),
        ("?from=2024-01-01&to=2026-11-01", 400, "Choose two years at most (731 days)."),
        ("?from=yesterday", 400, "Enter a day as year, month and day"),
        ("?quarter=2026-Q5", 400, "Write a quarter as 2026-Q4."),
        ("?quarter=0000-Q1", 400, "Write a quarter as 2026-Q4."),
        ("?quarter=9999-Q4", 200, "This period has not begun: it is 29 Nov 2026"),
        ("?from=9999-12-31", 200, "This period has not begun: it is 29 Nov 2026"),
        ("?from=2027-01-01&to=2027-03-31", 200, "This period has not begun"),
        ("?to=0001-01-01", 200, "This project was created on 30 Sep 2026, after this period"),
        ("?from=2026-07-01&to=2026-09-29", 200, "This project was created on 30 Sep 2026"),
    ],
)
def test_a_period_without_evidence_is_explained(
    browser: Client, project: Project, query: str, status: int, why: str
) -> None:
    page = read(browser, project, query, status)
    assert why in page
    assert "Signed JSON" not in page
    response = browser.get(f"/projects/{project.slug}/evidence/json/{query}")
    assert response.status_code == 400
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert why.split(" (")[0] in response.text
    assert not events(project, "evidence.viewed")
    assert not events(project, "evidence.downloaded")


def test_backups_that_are_older_than_the_project_count(browser: Client, project: Project) -> None:
    """A rebuilt catalogue contains such backups."""
    backup(project, date(2026, 9, 1))
    assert "have a backup" in read(browser, project, "?to=2026-09-20")


def test_a_project_that_has_nothing_yet_says_so(browser: Client, project: Project) -> None:
    Project.objects.filter(pk=project.pk).update(created_at=NOW - HOUR)
    assert "Nothing to show yet" in read(browser, project)
    assert document(browser, project)["summary"]["text"] == (
        "No backup was due in this period yet."
    )


def test_a_project_that_is_shut_down_is_told_to_be(browser: Client, project: Project) -> None:
    fill(project, date(2026, 10, 1), BAD)
    down = datetime(2026, 11, 3, 12, tzinfo=UTC)
    Project.objects.filter(pk=project.pk).update(state="shut_down", shut_down_at=down)
    happen(project, "project.shut_down", down)
    page = read(browser, project)
    assert "All 34 days have a backup; 34 proven." in page
    assert "The project is shut down since 3 Nov 2026, 13:00 CET." in page
    assert "29 Nov 2026 None due The project was shut down." in page


def test_looking_and_downloading_are_in_the_audit_log(
    browser: Client, owner: Account, project: Project
) -> None:
    fill(project, BAD, BAD)
    for _ in range(3):
        read(browser, project)
    (seen,) = events(project, "evidence.viewed")
    document(browser, project, "?from=2026-11-01&to=2026-11-05")
    (taken,) = events(project, "evidence.downloaded")
    assert (seen.account_id, taken.account_id) == (owner.pk, owner.pk)
    assert (seen.subject, taken.subject) == (
        "Backup evidence, Q4 2026",
        "Backup evidence, 1 Nov 2026 to 5 Nov 2026",
    )
    assert taken.details == {"first_day": "2026-11-01", "last_day": "2026-11-05"}
    browser.head(f"/projects/{project.slug}/evidence/?to=2026-11-05")
    browser.head(f"/projects/{project.slug}/evidence/json/")
    assert len(events(project, "evidence.viewed")) == len(events(project, "evidence.downloaded"))


def test_a_long_list_is_cut_and_says_so(
    browser: Client, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "SHOWN", 3)
    fill(project, BAD, BAD)
    for number in range(5):
        happen(project, "snapshot.looked_inside", NOW - (number + 1) * HOUR, subject=str(number))
    page = read(browser, project)
    assert "The newest 3 of 5 events are shown. The signed JSON lists all of them." in page
    access = document(browser, project)["access"]
    assert (access["total"], access["listed"]) == (5, 5)
    assert [row["subject"] for row in access["rows"]] == list("01234")


def test_nothing_of_a_row_is_taken_for_markup(browser: Client, project: Project) -> None:
    fill(project, BAD, BAD)
    happen(
        project,
        "snapshot.downloaded",
        NOW - HOUR,
        subject="<script>x</script>",
        account_email="<b>@example.com",
        details={"reason": "<i>"},
    )
    response = browser.get(f"/projects/{project.slug}/evidence/")
    for text in ("<script>x", "<b>@", "<i>"):
        assert text not in response.text


def test_the_key_is_the_one_that_verifies(browser: Client, project: Project) -> None:
    response = browser.get(f"/projects/{project.slug}/evidence/key/")
    key = parse_public_key(response.content)
    assert isinstance(key, Ed25519PublicKey)
    assert fingerprint(key) == fingerprint(public_key())
    assert response["Content-Disposition"] == 'attachment; filename="evidence-key.pem"'


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use up the limit of files in the making."""

    def full() -> None:
        raise FullError(5)

    monkeypatch.setattr(MAKERS, "entered", full)


@pytest.mark.usefixtures("no_room")
def test_too_many_files_at_once_are_asked_to_wait(browser: Client, project: Project) -> None:
    response = browser.get(f"/projects/{project.slug}/evidence/json/")
    assert (response.status_code, response["Retry-After"]) == (503, "5")


def test_no_secret_and_no_password_is_in_the_file(browser: Client, project: Project) -> None:
    fill(project, BAD, BAD)
    text = json.dumps(document(browser, project))
    for secret in (project.database, project.role, project.prefix, "postgresql://"):
        assert secret not in text


def test_a_restored_project_of_somebody_else_is_not_named(
    browser: Client, project: Project
) -> None:
    fill(project, BAD, BAD)
    other = factories.make_account()
    hers = factories.make_project_row(owner=other, name="Secret plan")
    factories.make_restore(
        project.snapshots.get(),
        requested_by=other,
        name=hers.name,
        project=hers,
        state="completed",
        created_at=NOW - HOUR,
    )
    assert "Another project Completed" in read(browser, project)
    assert "Secret plan" not in json.dumps(document(browser, project))


def test_says_which_objectives_were_missed(browser: Client, project: Project) -> None:
    fill(project, date(2026, 10, 1), date(2026, 11, 29))
    assert "No objective was in force in this period." in read(browser, project)
    point = Objective.objects.create(
        project=project, kind="point", target=26, began_at=NOW - 900 * HOUR
    )
    assert "Recovery point: at most 26 hours, from" in (page := read(browser, project))
    assert "None was missed." in page
    Breach.objects.create(
        objective=point,
        began_at=NOW - 300 * HOUR,
        ended_at=NOW - 280 * HOUR,
        end="met",
        worst_seconds=46 * 3600,
    )
    Breach.objects.create(objective=point, began_at=NOW - 2 * HOUR, worst_seconds=28 * 3600)
    page = read(browser, project)
    assert "None was missed." not in page
    for text in ("Met again", "Still missed", "1 d 22 h", "1 d 4 h"):
        assert text in page
    (told,) = document(browser, project)["recovery_objectives"]
    assert told["at_most_seconds"] == 26 * 3600
    assert [one["end"] for one in told["breaches"]] == ["met", None]
