"""The page of a project's members, and answers to invitations."""

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect
from django.views.generic import View

from backups_portal.accounts.models import Account
from backups_portal.accounts.security_views import account_of
from backups_portal.projects import members
from backups_portal.projects.access import Permission
from backups_portal.projects.errors import MembersRefusedError
from backups_portal.projects.forms import InvitationForm
from backups_portal.projects.models import Membership
from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from backups_portal.ui.form_views import RefusingFormView

MEMBERS = 25


def _only_owner(page: Page[Membership]) -> int | None:
    """Return the id of the only owner's membership, which cannot end."""
    owners = [member.pk for member in page if member.is_open_owner]
    # Owners come first, so if there are two of them, the first page shows both.
    return owners[0] if page.number == 1 and len(owners) == 1 else None


class MembersView(ProjectPermissionMixin, RefusingFormView):
    """Lists members and invitations, and invites."""

    template_name = "projects/members/members.html"
    permission = Permission.MANAGE_PROJECT
    form_class = InvitationForm
    http_method_names = ["get", "head", "post", "options"]

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        found = self.project.memberships.select_related("account")
        ordered = found.order_by("-role", "-account__is_active", "account__email", "pk")
        page = Paginator(ordered, MEMBERS).get_page(self.request.GET.get("page"))
        invitations = self.project.invitations.with_validity().select_related("invited_by")
        return super().get_context_data(
            page_obj=page,
            members=page.object_list,
            only_owner=_only_owner(page),
            invitations=list(invitations.order_by("email")),
            **kwargs,
        )

    def form_valid(self, form: InvitationForm) -> HttpResponse:
        invitation = members.invite(project=self.project, actor=self.account, **form.cleaned_data)
        messages.success(
            self.request,
            f"{invitation.email} is invited. They find the invitation on their Projects page when "
            "they sign in with this address.",
        )
        return redirect("members", self.project.slug)


class MembersAction(ProjectPermissionMixin, View):
    """An action on a member or an invitation, which leads back to the list."""

    permission = Permission.MANAGE_PROJECT
    http_method_names = ["post", "options"]

    def back(self) -> HttpResponseRedirect:
        """Redirect to the list, or home if the actor has left."""
        is_member = Membership.objects.filter(pk=self.membership.pk).exists()
        return redirect("members", self.project.slug) if is_member else redirect("projects")


class RemoveView(MembersAction):
    """Ends a membership."""

    def post(self, request: HttpRequest, member: int, **kwargs: object) -> HttpResponseBase:
        try:
            removed = members.remove(project=self.project, actor=self.account, member_id=member)
        except MembersRefusedError as refused:
            messages.error(request, str(refused))
            return self.back()
        if removed is None:
            messages.info(request, "That member was already removed.")
        else:
            messages.success(request, f"{removed.account} is no longer a member.")
        return self.back()


class WithdrawView(MembersAction):
    """Withdraws an invitation."""

    def post(self, request: HttpRequest, invitation: int, **kwargs: object) -> HttpResponseBase:
        withdrawn = members.withdraw(
            project=self.project, actor=self.account, invitation_id=invitation
        )
        if withdrawn is None:
            messages.info(request, "That invitation was already answered or withdrawn.")
        else:
            messages.success(request, f"The invitation for {withdrawn.email} was withdrawn.")
        return self.back()


class AnswerView(View):
    """Accepts or declines the signed-in account's invitation."""

    http_method_names = ["post", "options"]
    accept = True

    def post(self, request: HttpRequest, invitation: int) -> HttpResponseBase:
        account = account_of(request)
        try:
            project = members.answer(account=account, invitation_id=invitation, accept=self.accept)
        except MembersRefusedError as refused:
            messages.error(request, str(refused))
            return redirect("projects")
        if project is None:
            return self._already(request, account, invitation)
        if self.accept:
            messages.success(request, f"You are now a member of {project}.")
            return redirect("project", project.slug)
        messages.info(request, f"You declined the invitation to {project}.")
        return redirect("projects")

    def _already(self, request: HttpRequest, account: Account, invitation: int) -> HttpResponse:
        """Respond for an invitation that was already answered."""
        answer = members.answered(account=account, invitation_id=invitation)
        if answer is None:
            raise Http404("no such invitation")
        verb = "accepted" if answer.accepted else "declined"
        messages.info(request, f"You already {verb} the invitation to {answer.project_name}.")
        if answer.project is None:
            return redirect("projects")
        return redirect("project", answer.project.slug)
