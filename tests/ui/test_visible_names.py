"""A name must be visible, and names stored before that rule can still be clicked."""

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from backups_portal.access_tokens.forms import AccessTokenForm
from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.audit.recorder import record
from backups_portal.notifications.messages import compose
from backups_portal.projects.errors import NameRefusedError
from backups_portal.projects.forms import TokenForm
from backups_portal.projects.project_creation import check_name
from backups_portal.tagoio_api.envelope import ApiError
from backups_portal.tagoio_api.files.multipart_uploads import clean_path
from backups_portal.transfers.forms import TransferForm
from backups_portal.transfers.pages.move_suggestion import ProjectChoice
from backups_portal.ui.visible_names import NOTHING_TO_SEE, TURNED, name_problem, seen_name
from restores.project_names import suggest_name
from tests import factories

UNSEEN = [
    *("\u200b", "\u2800", "\u3164", "\u115f\u1160", "\uffa0", "\u00ad", "\ufeff", "\u2060"),
    *("\u0301", "\u202e", "\u2003", "\u00a0 \u200d", "\x7f", "\ufe0f", "\U000e0041", "\u2028"),
]
SEEN = [
    "A",
    "7",
    "—",
    "é",
    "e\u0301",
    "冷蔵",
    "\u062e\u0648\u200c\u0627",
    "👩\u200d🌾",
    "❄\ufe0f",
    "a\u200bb",
]
TURNING = ["ab\u202etxt.exe", "\u2066a\u2069", "\u202aTruck"]


@pytest.mark.parametrize("name", UNSEEN)
def test_nothing_is_seen(name: str) -> None:
    assert name_problem(name) == NOTHING_TO_SEE
    shown = seen_name(name)
    assert shown.isprintable()
    assert f"U+{ord(name[0]):04X}" in shown


@pytest.mark.parametrize("name", SEEN)
def test_what_is_seen_stays_as_it_is(name: str) -> None:
    assert name_problem(name) == ""
    assert seen_name(name) == name


@pytest.mark.parametrize("name", TURNING)
def test_no_name_turns_what_stands_beside_it(name: str) -> None:
    assert name_problem(name) == TURNED
    assert not set(seen_name(name)) & set("\u202a\u202e\u2066\u2069")


def test_control_characters_are_refused() -> None:
    assert "control characters" in name_problem("a\x1bb")


@pytest.mark.django_db
@pytest.mark.parametrize("name", [*UNSEEN, *TURNING])
def test_every_way_in_refuses_it(name: str) -> None:
    """Pages, commands, restores and the portal's API call `check_name`; tokens use their forms."""
    with pytest.raises(NameRefusedError):
        check_name(name, factories.make_account())
    for form in (TokenForm({"name": name}), AccessTokenForm({"name": name})):
        assert form.errors["name"]
    with pytest.raises(CommandError):
        call_command("create_account", "new@example.com", "--name", name, stdout=io.StringIO())
    if name_problem(name) == NOTHING_TO_SEE:
        with pytest.raises(ApiError):
            clean_path(f"reports/{name}")


@pytest.mark.django_db
def test_a_project_that_has_such_a_name_is_a_link_that_can_be_seen() -> None:
    owner = factories.make_account(name="\u200b")
    project = factories.make_project_row(owner=owner, name="\u200b")
    client = Client()
    client.force_login(owner)
    assert ">(nothing to see: U+200B)</a>" in client.get("/").text
    page = client.get(f"/projects/{project.slug}/").text
    assert ">(nothing to see: U+200B)</h1>" in page
    assert "\u200b" not in page
    assert str(owner) == owner.email
    snapshot = factories.make_snapshot(project)
    assert suggest_name(snapshot, owner).startswith("(nothing to see: U+200B) restored")
    assert Account.objects.get(pk=owner.pk).name == "\u200b"


@pytest.mark.django_db
def test_what_leaves_the_portal_names_it_too() -> None:
    owner = factories.make_account()
    project = factories.make_project_row(owner=owner, name="\u200b")
    form = TransferForm(
        projects=[ProjectChoice(project.pk, project.name, "", "active", project.created_at)]
    )
    assert "(nothing to see: U+200B)</option>" in str(form["source"])
    event = AuditEvent(
        action="restore.completed", subject="\u2800", details={"restore": str(project.pk)}
    )
    said = json.dumps(compose(event, project), ensure_ascii=False)
    assert "“(nothing to see: U+2800)”" in said
    assert "“(nothing to see: U+200B)”" in said
    assert "\u200b" not in said


def test_a_shown_name_is_one_line() -> None:
    assert seen_name("Cold\r\nChain \x1b[2J") == "Cold  Chain  [2J"


@pytest.mark.django_db
def test_what_programs_have_named_is_seen_among_the_activity() -> None:
    """The projects' API accepts any name, as TagoIO does; pages make it visible."""
    owner = factories.make_account()
    project = factories.make_project_row(owner=owner)
    for name in ("\u200b", "ab\u202etxt.exe"):
        record(action="token.created", actor=None, project=project, subject=name)
    client = Client()
    client.force_login(owner)
    page = client.get(f"/projects/{project.slug}/activity/").text
    assert "(nothing to see: U+200B)" in page
    assert "abtxt.exe" in page
    assert not {"\u200b", "\u202e"} & set(page)
