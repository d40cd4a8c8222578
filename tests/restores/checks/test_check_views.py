"""Owners fill in checks as sentences, and read proofs' findings on every page."""

from typing import Any

import pytest
from django.test import Client

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import MainDatabase, Membership, Project
from restores.checks.check_settings import WantedCheck
from restores.models import Check
from snapshots.models import Snapshot
from tests import factories
from tests.pageforms import form_of

pytestmark = pytest.mark.django_db
PAGE = "/projects/cold-chain/backups/checks/"
NASTY = "<b>Truck</b> \"7\" & 'co'"


@pytest.fixture
def owner() -> Account:
    return factories.make_account()


@pytest.fixture
def project(owner: Account, storage_url: str) -> Project:
    return factories.make_project_row(owner=owner, name="Cold Chain", slug="cold-chain")


@pytest.fixture
def snapshot(project: Project) -> Snapshot:
    return factories.make_snapshot(project, verdict="passed", proven_at="2026-03-01T00:00Z")


@pytest.fixture
def browser(owner: Account) -> Client:
    client = Client()
    client.force_login(owner)
    return client


def page(browser: Client, address: str = PAGE) -> str:
    response = browser.get(address)
    assert response.status_code == 200
    return response.content.decode()


def add(browser: Client, kind: str, **fields: Any) -> Any:
    return browser.post(PAGE, {"kind": kind, **fields})


def test_a_sentence_is_filled_in_edited_and_removed(browser: Client, project: Project) -> None:
    assert "No checks yet" in page(browser)
    assert add(browser, "devices", at_least="30").headers["Location"] == PAGE
    text = page(browser)
    assert "“At least 30 devices” is checked in every proof from now on." in text
    assert "Not checked yet" in text
    check = Check.objects.get(project=project)
    edit = f"{PAGE}{check.pk}/"
    assert 'value="30"' in page(browser, edit)
    assert browser.post(edit, {"at_least": "31"}).headers["Location"] == PAGE
    assert "At least 31 devices" in page(browser)
    for said in ("is no longer checked", "That check was already removed"):
        assert browser.post(f"{edit}remove/").headers["Location"] == PAGE
        assert said in page(browser)
    assert browser.get(edit).status_code == 404
    assert not Check.objects.exists()


def test_a_check_that_goes_while_it_is_edited_is_said_to_be_gone(
    browser: Client, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = Check.objects.create(project=project, kind="devices", at_least=1)
    monkeypatch.setattr("restores.check_views.change_check", lambda **asked: None)
    browser.post(f"{PAGE}{check.pk}/", {"at_least": "31"})
    assert "That check was already removed" in page(browser)


def test_another_tabs_change_is_not_overwritten_silently(browser: Client, project: Project) -> None:
    for number in (30, 7):
        add(browser, "devices", at_least=number)
    check = Check.objects.get(at_least=30)
    edit = f"{PAGE}{check.pk}/"
    form = form_of(page(browser, edit), edit)
    other = factories.make_account("other@example.com")
    factories.make_membership(project, other, "owner")
    theirs = Client()
    theirs.force_login(other)
    theirs.post(edit, {**form, "at_least": "31"})
    # A change of another check leaves this one's history alone.
    browser.post(f"{PAGE}{Check.objects.get(at_least=7).pk}/", {"at_least": "8"})

    answer = browser.post(edit, {**form, "at_least": "40"})
    assert answer.status_code == 409
    said = "other@example.com changed this from “At least 30 devices” to “At least 31 devices”"
    assert said in answer.text
    check.refresh_from_db()
    assert check.at_least == 31
    again = form_of(answer.text, edit)
    assert again["at_least"] == "40"
    assert browser.post(edit, again).status_code == 302
    check.refresh_from_db()
    assert check.at_least == 40


def test_what_a_tab_left_as_it_was_stays_as_another_made_it(
    browser: Client, project: Project
) -> None:
    odd = {"kind": "between", "variable": "a\n b", "low": 0, "high": 1}
    check = Check.objects.create(project=project, **odd)
    edit = f"{PAGE}{check.pk}/"
    form = form_of(page(browser, edit), edit)
    browser.post(edit, {**form, "high": "2"})
    assert browser.post(edit, form).status_code == 302
    check.refresh_from_db()
    assert check.high == 2


def test_a_new_name_of_its_device_is_no_change_of_a_check(
    browser: Client, project: Project
) -> None:
    odd = {"kind": "newest", "device_id": "ab" * 12, "device_name": "Truck 07", "hours": 26}
    check = Check.objects.create(project=project, **odd)
    edit = f"{PAGE}{check.pk}/"
    form = form_of(page(browser, edit), edit)
    Check.objects.update(device_name="Truck 7")
    assert browser.post(edit, {**form, "hours": "30"}).status_code == 302
    check.refresh_from_db()
    assert (check.device_name, check.hours) == ("Truck 7", 30)


def test_what_no_page_has_shown_is_not_compared(browser: Client, project: Project) -> None:
    check = Check.objects.create(project=project, kind="devices", at_least=30)
    forged = {"loaded": '{"kind": "devices"}', "at_least": "31"}
    assert browser.post(f"{PAGE}{check.pk}/", forged).status_code == 302
    check.refresh_from_db()
    assert check.at_least == 31


def test_what_is_wrong_is_said_and_nothing_typed_is_lost(browser: Client, project: Project) -> None:
    answer = add(browser, "newest", device=NASTY, hours="soon")
    assert answer.status_code == 400
    text = answer.content.decode()
    assert "Enter a whole number, such as 7." in text
    assert 'value="&lt;b&gt;Truck&lt;/b&gt; &#34;7&#34; &amp; &#39;co&#39;"' in text
    assert "<b>Truck" not in text
    assert (
        "There is no backup yet" in add(browser, "newest", device="x", hours="3").content.decode()
    )
    assert (
        "is not less than"
        in add(browser, "between", variable="t", low="2", high="1").content.decode()
    )
    assert add(browser, "sql", query="SELECT 1").status_code == 400
    assert not Check.objects.exists()


def test_those_of_another_project_are_not_there(browser: Client, project: Project) -> None:
    theirs = Check.objects.create(project=factories.make_project_row(), kind="devices", at_least=1)
    assert browser.get(f"{PAGE}{theirs.pk}/").status_code == 404
    assert browser.post(f"{PAGE}{theirs.pk}/", {"at_least": "2"}).status_code == 404
    browser.post(f"{PAGE}{theirs.pk}/remove/")
    theirs.refresh_from_db()
    assert theirs.at_least == 1


def test_who_loses_the_right_while_the_form_is_open_is_refused(
    browser: Client, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "restores.check_views.CheckForm.wanted",
        lambda form: (
            Membership.objects.update(role="collaborator") and WantedCheck("devices", at_least=3)
        ),
    )
    assert add(browser, "devices", at_least="3").status_code == 403
    assert not Check.objects.exists()
    event = AuditEvent.objects.get(action="access.refused")
    assert (event.account_id, event.project_id) == (project.created_by_id, project.pk)
    assert (event.subject, event.address) == (f"POST {PAGE}", "127.0.0.1")


def test_every_page_says_what_failed(browser: Client, snapshot: Snapshot) -> None:
    factories.make_checked(snapshot, finding="the backup has 2")
    said = "1 of 1 check failed"
    for address in ("/projects/cold-chain/backups/", "/projects/cold-chain/"):
        assert said in page(browser, address)
    text = page(browser, f"/projects/cold-chain/backups/{snapshot.pk}/")
    assert f"Proven, {said}" in text
    assert "“At least 3 devices”: the backup has 2." in text
    assert "The backup has 2." in text
    text = page(browser)
    assert "The backup has 2" in text
    assert "Not checked yet" not in text
    # The other tabs have no room for all findings.
    tab = page(browser, f"/projects/cold-chain/backups/{snapshot.pk}/restores/")
    assert f"Proven, {said}" in tab


@pytest.mark.parametrize(
    ("outcome", "said"),
    [("passed", "1 check passed"), ("not_run", "1 of 1 check could not be run")],
)
def test_what_passed_and_what_could_not_be_run_read_differently(
    browser: Client, snapshot: Snapshot, outcome: str, said: str
) -> None:
    factories.make_checked(snapshot, outcome=outcome)
    assert said in page(browser, "/projects/cold-chain/backups/")
    text = page(browser, f"/projects/cold-chain/backups/{snapshot.pk}/")
    assert said in text
    assert ("Proven, " in text) == (outcome == "not_run")


def test_a_changed_sentence_has_not_been_checked(browser: Client, snapshot: Snapshot) -> None:
    check = factories.make_checked(snapshot)
    Check.objects.filter(pk=check.pk).update(at_least=4)
    assert "Not checked yet" in page(browser)


def test_twenty_are_enough_and_proofs_may_be_off(browser: Client, project: Project) -> None:
    for number in range(20):
        Check.objects.create(project=project, kind="devices", at_least=number + 1)
    MainDatabase.objects.update(proof_policy="off")
    text = page(browser)
    assert "up to 20 checks" in text
    assert "Add this check" not in text
    assert "Proofs are off" in text
