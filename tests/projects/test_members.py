"""Members of a project: inviting, accepting, removing."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.projects import members
from backups_portal.projects.access import RightLostError
from backups_portal.projects.models import Invitation, Membership, Project
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> Account:
    return factories.make_account(name="Olivia Owner")


@pytest.fixture
def project(owner: Account) -> Project:
    return factories.make_project_row(owner=owner, name="Cold Chain")


@pytest.fixture
def guest() -> Account:
    return factories.make_account("guest@example.com")


def invite(client: Client, project: Project, email: str, role: str = "collaborator") -> int:
    url = f"/projects/{project.slug}/members/"
    return client.post(url, {"email": email, "role": role}).status_code


def acting(account: Account) -> Client:
    client = Client()
    client.force_login(account)
    return client


def test_an_invitation_opens_nothing_until_it_is_accepted(
    owner: Account, project: Project, guest: Account
) -> None:
    assert invite(acting(owner), project, "Guest@Example.com") == 302
    assert "Pending" in acting(owner).get(f"/projects/{project.slug}/members/").content.decode()
    client = acting(guest)
    assert client.get(f"/projects/{project.slug}/").status_code == 404
    assert "Olivia Owner invites you to Cold Chain" in client.get("/").content.decode()
    invitation = Invitation.objects.get()
    answer = client.post(f"/invitations/{invitation.pk}/accept/")
    assert answer.headers["Location"] == f"/projects/{project.slug}/"
    assert client.get(f"/projects/{project.slug}/").status_code == 200
    assert client.get(f"/projects/{project.slug}/backups/").status_code == 403
    actions = AuditEvent.objects.order_by("at").values_list("action", flat=True)
    assert {"member.invited", "invitation.accepted"} <= set(actions)


@pytest.mark.parametrize("lost", ["removed", "demoted", "closed"])
def test_an_invitation_of_a_former_owner_lets_nobody_in(
    owner: Account, project: Project, guest: Account, lost: str
) -> None:
    """Otherwise an owner about to be removed could first invite a second account of theirs."""
    invite(acting(owner), project, guest.email, "owner")
    if lost == "removed":
        Membership.objects.filter(account=owner).delete()
    elif lost == "demoted":
        Membership.objects.filter(account=owner).update(role="collaborator")
    else:
        Account.objects.filter(pk=owner.pk).update(is_active=False)
    client = acting(guest)
    assert "invites you to" not in client.get("/").text
    other = factories.make_membership(project, factories.make_account(), "owner").account
    listed = acting(other).get(f"/projects/{project.slug}/members/").text
    assert "Void" in listed
    assert f"{owner} can no longer admit members. Invite this person again." in listed
    assert "Pending" not in listed
    page = client.post(f"/invitations/{Invitation.objects.get().pk}/accept/", follow=True).text
    assert f"{owner} can no longer admit members to {project}, so this invitation is void." in page
    assert not Membership.objects.filter(account=guest).exists()
    client.post(f"/invitations/{Invitation.objects.get().pk}/decline/")
    assert not Invitation.objects.exists()


def test_declining_leaves_nothing(owner: Account, project: Project, guest: Account) -> None:
    invite(acting(owner), project, guest.email)
    invitation = Invitation.objects.get()
    acting(guest).post(f"/invitations/{invitation.pk}/decline/")
    assert not Invitation.objects.exists()
    assert acting(guest).get(f"/projects/{project.slug}/").status_code == 404


@pytest.mark.parametrize("again", ["accept", "decline"])
@pytest.mark.parametrize(
    ("first", "said", "title"),
    [("accept", "accepted", "Overview · Cold Chain"), ("decline", "declined", "Projects")],
)
def test_an_answer_that_is_sent_twice_is_told_so(
    owner: Account, project: Project, guest: Account, first: str, said: str, title: str, again: str
) -> None:
    invite(acting(owner), project, guest.email)
    url = f"/invitations/{Invitation.objects.get().pk}"
    client = acting(guest)
    client.post(f"{url}/{first}/", follow=True)
    page = client.post(f"{url}/{again}/", follow=True).text
    assert f"You already {said} the invitation to Cold Chain." in page
    assert f"<title>{title} ·" in page
    assert Membership.objects.filter(account=guest).exists() == (first == "accept")
    # Only the invited account finds the invitation, and an unknown one leads nowhere.
    assert acting(owner).post(f"{url}/{again}/").status_code == 404
    assert client.post(f"{url}0/{again}/").status_code == 404


@pytest.mark.parametrize(
    ("has", "offered", "gets"),
    [("collaborator", "owner", "owner"), ("owner", "collaborator", "owner")],
)
def test_a_member_whose_new_address_is_invited_has_what_the_log_says(
    owner: Account, project: Project, guest: Account, has: str, offered: str, gets: str
) -> None:
    factories.make_membership(project, guest, has)
    invite(acting(owner), project, "new@example.com", offered)
    Account.objects.filter(pk=guest.pk).update(email="new@example.com")
    acting(guest).post(f"/invitations/{Invitation.objects.get().pk}/accept/")
    assert Membership.objects.get(account=guest).role == gets
    assert AuditEvent.objects.get(action="invitation.accepted").details["role"] == gets


def test_an_accepted_invitation_leads_to_no_project_once_the_member_is_removed(
    owner: Account, project: Project, guest: Account
) -> None:
    invite(acting(owner), project, guest.email)
    url = f"/invitations/{Invitation.objects.get().pk}/accept/"
    client = acting(guest)
    client.post(url)
    Membership.objects.filter(account=guest).delete()
    assert client.post(url).url == "/"


def test_nobody_answers_the_invitation_of_another(
    owner: Account, project: Project, guest: Account
) -> None:
    invite(acting(owner), project, guest.email)
    invitation = Invitation.objects.get()
    other = factories.make_account()
    assert acting(other).post(f"/invitations/{invitation.pk}/accept/").status_code == 404
    assert Invitation.objects.exists()
    assert not Membership.objects.filter(account=other).exists()


def test_an_invitation_does_not_tell_whether_there_is_an_account(
    owner: Account, project: Project, guest: Account
) -> None:
    """Page, list, audit log and the statements sent do not depend on it."""
    guest.name = "Gus Guest"
    guest.save()
    url, seen = f"/projects/{project.slug}/members/", []
    for email in (guest.email, "guess@example.com"):
        with CaptureQueriesContext(connection) as asked:
            answer = acting(owner).post(url, {"email": email, "role": "owner"}, follow=True)
        statements = [re.sub("'[^']*'|[0-9]+", "?", str(query["sql"])) for query in asked]
        event = AuditEvent.objects.filter(action="member.invited").latest("pk")
        assert (event.subject, event.details) == (email, {"role": "owner"})
        # Ignore what differs from request to request, and from row to row.
        passing = r'value="[^"]{64}"|nonce="[^"]*"|invitations/[0-9]+|<time.*?</time>'
        page = re.sub(passing, "", answer.text.replace(email, "E"), flags=re.DOTALL)
        seen.append((answer.status_code, page, statements))
        Invitation.objects.all().delete()
    assert seen[0][1].splitlines() == seen[1][1].splitlines()
    assert seen[0] == seen[1]
    assert "Gus" not in seen[0][1]


def test_an_address_that_gets_an_account_later_finds_its_invitation(
    owner: Account, project: Project
) -> None:
    assert invite(acting(owner), project, "New@example.com") == 302
    client = acting(factories.make_account("new@Example.com"))
    assert "invites you to Cold Chain" in client.get("/").text
    client.post(f"/invitations/{Invitation.objects.get().pk}/accept/")
    assert client.get(f"/projects/{project.slug}/").status_code == 200


@pytest.mark.parametrize(
    "email",
    # In lowercase the last one is twice as long.
    ["no address", "", "a" * 243 + "@example.com", "\u0130" * 130 + "@example.com"],
    ids=["no address", "nothing", "255 letters", "capitals with a dot"],
)
def test_whoever_cannot_be_invited_is_named(owner: Account, project: Project, email: str) -> None:
    assert invite(acting(owner), project, email) == 400
    assert not Invitation.objects.exists()


def test_a_member_is_not_invited_again(owner: Account, project: Project) -> None:
    guest = factories.make_account(name="Guest")
    factories.make_membership(project, guest)
    client, advice = acting(owner), "To change the role, remove them and invite them again."
    for role, is_advised in (("collaborator", False), ("owner", True)):
        form = {"email": guest.email, "role": role}
        answer = client.post(f"/projects/{project.slug}/members/", form)
        assert answer.status_code == 400
        assert "Guest is already a member of this project." in answer.text
        assert (advice in answer.text) == is_advised


def test_inviting_twice_changes_the_role(owner: Account, project: Project, guest: Account) -> None:
    invite(acting(owner), project, guest.email)
    invite(acting(owner), project, guest.email, "owner")
    assert Invitation.objects.get().role == "owner"


@pytest.mark.django_db(transaction=True)
def test_a_role_that_is_changed_at_this_moment_is_the_one_that_is_accepted(
    owner: Account, project: Project, guest: Account
) -> None:
    offered = members.invite(project=project, actor=owner, email=guest.email, role="owner")

    def accept() -> None:
        members.answer(account=guest, invitation_id=offered.pk, accept=True)
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            members.invite(project=project, actor=owner, email=guest.email, role="collaborator")
            accepting = pool.submit(accept)
            while not is_somebody_waiting() and not accepting.done():
                time.sleep(0.01)
        accepting.result(5)
    assert Membership.objects.get(account=guest).role == "collaborator"


def is_somebody_waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
        return cursor.fetchone() is not None


def test_an_invitation_exists_once(owner: Account, project: Project, guest: Account) -> None:
    fields = {"project": project, "email": guest.email, "role": "owner", "invited_by": owner}
    Invitation.objects.create(**fields)
    with pytest.raises(IntegrityError, match="invitation_once"):
        Invitation.objects.create(**fields)


def test_withdrawn_twice(owner: Account, project: Project, guest: Account) -> None:
    invite(acting(owner), project, guest.email)
    invitation = Invitation.objects.get()
    url = f"/projects/{project.slug}/members/invitations/{invitation.pk}/withdraw/"
    for said in ("was withdrawn", "already answered or withdrawn"):
        assert said in acting(owner).post(url, follow=True).content.decode()
    assert acting(guest).post(f"/invitations/{invitation.pk}/accept/").status_code == 404


def remove(account: Account, project: Project, member: Membership) -> str:
    url = f"/projects/{project.slug}/members/{member.pk}/remove/"
    return acting(account).post(url, follow=True).content.decode()


def test_who_is_removed_is_out_at_once(owner: Account, project: Project, guest: Account) -> None:
    member = factories.make_membership(project, guest)
    client = acting(guest)
    assert client.get(f"/projects/{project.slug}/").status_code == 200
    assert "is no longer a member" in remove(owner, project, member)
    assert client.get(f"/projects/{project.slug}/").status_code == 404
    assert "was already removed" in remove(owner, project, member)


def test_removing_an_owner_says_which_access_stays(
    owner: Account, project: Project, guest: Account
) -> None:
    member = factories.make_membership(project, guest, "owner")
    url, said = f"/projects/{project.slug}/members/", f"API tokens that {guest} knows keep working"
    page = " ".join(acting(owner).get(url).text.split())
    assert page.count(said) == 1
    assert f'href="/projects/{project.slug}/api/"' in page[page.index(said) :][:200]
    Membership.objects.filter(pk=member.pk).update(role="collaborator")
    assert said not in " ".join(acting(owner).get(url).text.split())


def test_who_is_removed_comes_back_by_no_older_invitation(
    owner: Account, project: Project, guest: Account
) -> None:
    """This includes an invitation to an address that the member took later."""
    member = factories.make_membership(project, guest)
    for email in ("new@example.com", "other@example.com"):
        invite(acting(owner), project, email)
    Account.objects.filter(pk=guest.pk).update(email="new@example.com")
    remove(owner, project, member)
    assert Invitation.objects.get().email == "other@example.com"
    assert AuditEvent.objects.get(action="invitation.withdrawn").subject == "new@example.com"


def test_who_was_removed_a_moment_ago_removes_and_withdraws_nothing(
    owner: Account, project: Project, guest: Account
) -> None:
    # Both have passed the access check, like two owners who remove each other at once.
    third = factories.make_membership(project, factories.make_account("third@example.com"))
    invitation = Invitation.objects.create(
        project=project, email="new@example.com", role=third.role, invited_by=owner
    )
    with pytest.raises(RightLostError):
        members.remove(project=project, actor=guest, member_id=third.pk)
    with pytest.raises(RightLostError):
        members.withdraw(project=project, actor=guest, invitation_id=invitation.pk)
    assert Membership.objects.filter(pk=third.pk).exists()
    assert Invitation.objects.exists()


def test_the_only_owner_stays(owner: Account, project: Project, guest: Account) -> None:
    factories.make_membership(project, guest)
    mine = Membership.objects.get(account=owner)
    assert "is the only owner" in remove(owner, project, mine)
    assert Membership.objects.filter(pk=mine.pk).exists()


def test_the_only_owner_is_not_offered_to_leave(
    owner: Account, project: Project, guest: Account
) -> None:
    url = f"/projects/{project.slug}/members/"
    member = factories.make_membership(project, guest)
    page = acting(owner).get(url).text
    assert "Remove yourself" not in page
    assert "Invite another owner before removing this one." in page
    assert f"Remove {guest}" in page
    Membership.objects.filter(pk=member.pk).update(role="owner")
    page = acting(owner).get(url).text
    assert "Remove yourself" in page
    assert "Invite another owner" not in page


def test_an_owner_whose_account_is_closed_owns_nothing_alone(
    owner: Account, project: Project, guest: Account
) -> None:
    theirs = factories.make_membership(project, guest, "owner")
    Account.objects.filter(pk=guest.pk).update(is_active=False)
    page = acting(owner).get(f"/projects/{project.slug}/members/").text
    assert "Remove yourself" not in page
    assert f"Remove {guest}" in page
    mine = Membership.objects.get(account=owner)
    assert "is the only owner" in remove(owner, project, mine)
    assert Membership.objects.filter(pk=mine.pk).exists()
    assert "is no longer a member" in remove(owner, project, theirs)


def test_an_owner_on_a_later_page_is_not_taken_for_the_only_one(
    owner: Account, project: Project
) -> None:
    for number in range(25):
        account = factories.make_account(f"aa{number:02}@example.com")
        factories.make_membership(project, account, "owner")
    page = acting(owner).get(f"/projects/{project.slug}/members/?page=2").text
    assert "Remove yourself" in page


def test_an_owner_leaves_to_another(owner: Account, project: Project, guest: Account) -> None:
    factories.make_membership(project, guest, "owner")
    page = remove(owner, project, Membership.objects.get(account=owner))
    assert "No projects yet" in page


def test_a_member_of_another_project_is_out_of_reach(owner: Account, project: Project) -> None:
    elsewhere = factories.make_project_row()
    member = elsewhere.memberships.get()
    assert "was already removed" in remove(owner, project, member)
    assert Membership.objects.filter(pk=member.pk).exists()


def test_removing_asks_first(owner: Account, project: Project, guest: Account) -> None:
    factories.make_membership(project, guest)
    page = " ".join(acting(owner).get(f"/projects/{project.slug}/members/").text.split())
    assert page.count("Remove …</summary>") == 1
    assert f"{guest} will lose access to this project" in page
    # The button is inside the confirmation.
    question = page.index(f"{guest} will lose access")
    assert page.rindex("<details", 0, question) > page.rindex("</details>", 0, question)
    assert f">Remove {guest}</button>" in page[question : page.index("</details>", question)]
