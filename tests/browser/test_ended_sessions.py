"""What happens to an open page whose session ends."""

import re
from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Page, expect

from backups_portal.accounts.models import Account
from backups_portal.projects.models import MainDatabase, Membership
from tests import factories
from tests.browser.conftest import Enter, Portal
from tests.browser.scene import Scene


@pytest.fixture(scope="module")
def scene(portal: Portal) -> Scene:
    return Scene()


def end_session(page: Page) -> None:
    """Put the browser into the state of an ended session."""
    page.context.clear_cookies(name=settings.SESSION_COOKIE_NAME)


def sign_in_again(page: Page, account: Account) -> None:
    page.get_by_label("E-mail").fill(account.email)
    page.get_by_label("Password").fill(factories.PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_what_was_typed_outlives_the_session(enter: Enter, scene: Scene) -> None:
    page = enter(scene.owner).new_page()
    page.goto(scene.url("restore-confirm"))
    page.get_by_label("Name of the new project").fill("Typed before")
    page.get_by_label("I accept these charges").check()
    end_session(page)
    page.get_by_role("button", name="Create project from backup").click()
    sign_in_again(page, scene.owner)
    expect(page.get_by_label("Name of the new project")).to_have_value("Typed before")
    expect(page.get_by_label("I accept these charges")).not_to_be_checked()
    page.goto(scene.url("restore-confirm"))
    expect(page.get_by_label("Name of the new project")).not_to_have_value("Typed before")


def test_what_was_typed_outlives_the_question_for_the_password(enter: Enter, scene: Scene) -> None:
    context = enter(scene.owner)
    page = context.new_page()
    page.goto(scene.url("restore-confirm"))
    page.get_by_label("Name of the new project").fill("Typed long ago")
    page.get_by_label("I accept these charges").check()
    browser = Client()
    (key,) = (one["value"] for one in context.cookies() if one["name"] == "sessionid")
    browser.cookies[settings.SESSION_COOKIE_NAME] = key
    factories.age_sign_in(browser, timedelta(hours=2))
    page.get_by_role("button", name="Create project from backup").click()
    expect(page.get_by_text("Nothing has been done yet.")).to_be_visible()
    # A typing error first.
    for password in ("wrong", factories.PASSWORD):
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Continue").click()
    expect(page.get_by_label("Name of the new project")).to_have_value("Typed long ago")
    expect(page.get_by_label("I accept these charges")).not_to_be_checked()


def test_devices_that_were_ticked_outlive_the_session(enter: Enter, scene: Scene) -> None:
    page = enter(scene.owner).new_page()
    page.goto(f"/projects/{scene.project.slug}/transfers/")
    page.get_by_role("checkbox", name=re.compile("^Truck")).check()
    page.locator("#id_since").fill("2026-11-01T10:00")
    end_session(page)
    page.get_by_role("button", name="Start the dry run").click()
    sign_in_again(page, scene.owner)
    expect(page.get_by_role("checkbox", name=re.compile("^Truck"))).to_be_checked()
    expect(page.locator("#id_since")).to_have_value("2026-11-01T10:00")
    # The hidden field that stood in for the list is gone.
    expect(page.locator("input[type=hidden][name=devices]")).to_have_count(0)


def test_settings_that_were_typed_outlive_the_session(enter: Enter, scene: Scene) -> None:
    page = enter(scene.owner).new_page()
    project = factories.make_project_row(owner=scene.owner, name="Typed settings")
    page.goto(f"/projects/{project.slug}/main-database/")
    page.get_by_label("Backup retention period").fill("30")
    # A colleague changes another setting in the meantime, which must stay.
    MainDatabase.objects.filter(project=project).update(proof_policy="off")
    end_session(page)
    page.get_by_role("button", name="Save backup settings").click()
    expect(page.get_by_text("nothing was changed")).to_be_visible()
    sign_in_again(page, scene.owner)
    expect(page.get_by_label("Backup retention period")).to_have_value("30")
    page.get_by_role("button", name="Save backup settings").click()
    expect(page.get_by_text("Your backup settings are saved.")).to_be_visible()
    saved = MainDatabase.objects.get(project=project)
    assert (saved.retention_days, saved.proof_policy) == (30, "off")


def test_boxes_that_were_unticked_outlive_the_session(enter: Enter, scene: Scene) -> None:
    page = enter(scene.owner).new_page()
    project = factories.make_project_row(owner=scene.owner, name="Unticked")
    page.goto(f"/projects/{project.slug}/notifications/")
    boxes = page.locator("input[name=wanted]")
    ticked = "all => all.map((one) => one.checked)"
    wanted = [False, *boxes.evaluate_all(ticked)[1:]]
    assert any(wanted)
    boxes.first.uncheck()
    end_session(page)
    page.get_by_role("button", name="Save notifications").click()
    sign_in_again(page, scene.owner)
    expect(boxes.first).not_to_be_checked()
    assert boxes.evaluate_all(ticked) == wanted


def test_who_signs_in_next_does_not_see_what_another_typed(enter: Enter, scene: Scene) -> None:
    page = enter(scene.owner).new_page()
    project = factories.make_project_row(owner=scene.owner, name="Two owners")
    other = factories.make_account("other-owner@example.com")
    factories.make_membership(project, other, Membership.Role.OWNER)
    page.goto(f"/projects/{project.slug}/members/")
    page.get_by_label("E-mail").fill("secret-hire@example.com")
    end_session(page)
    page.get_by_role("button", name="Invite").click()
    sign_in_again(page, other)
    expect(page.get_by_role("button", name="Invite")).to_be_visible()
    expect(page.get_by_label("E-mail")).to_have_value("")
    assert page.evaluate("sessionStorage.length") == 0


def test_an_address_that_may_hold_a_secret_is_not_kept(enter: Enter, scene: Scene) -> None:
    page = enter(scene.owner).new_page()
    project = factories.make_project_row(owner=scene.owner, name="Secret address")
    page.goto(f"/projects/{project.slug}/notifications/")
    page.get_by_label("Webhook").fill("https://user:open-sesame@example.com/")
    page.get_by_label("Remind about a restored project").fill("9")
    end_session(page)
    page.get_by_role("button", name="Save notifications").click()
    expect(page.get_by_label("Password")).to_be_visible()
    kept = page.evaluate("JSON.stringify(sessionStorage)")
    assert "reminder_days" in kept
    assert "open-sesame" not in kept
    sign_in_again(page, scene.owner)
    expect(page.get_by_label("Remind about a restored project")).to_have_value("9")
    expect(page.get_by_label("Webhook")).to_have_value("")


def test_nothing_is_seen_after_signing_out(enter: Enter, scene: Scene) -> None:
    page = enter(scene.owner).new_page()
    page.goto(f"/projects/{scene.project.slug}/backups/")
    end_session(page)
    page.goto("/sign-in/")
    page.go_back()
    expect(page.get_by_label("Password")).to_be_visible()
    expect(page.get_by_text(scene.project.name)).to_have_count(0)
