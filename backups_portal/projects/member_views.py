"""The page of a project's members, and what somebody does who was invited."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect
from django.views.generic import FormView, View

from backups_portal.accounts.models import Account
from backups_portal.audit.services import address_of
from backups_portal.lib.compiled import compiled
from backups_portal.projects import members
from backups_portal.projects.access import Permission
from backups_portal.projects.errors import MembersRefusedError
from backups_portal.projects.forms import InvitationForm
from backups_portal.projects.mixins import ProjectPermissionMixin
from backups_portal.projects.models import Invitation, Membership

MEMBERS = 25


@compiled
def _members(project_id: UUID) -> QuerySet[Membership]:
    members = Membership.objects.filter(project_id=project_id)
    return members.select_related("account").order_by("-role", "account__email")


@compiled
def _invitations(project_id: UUID) -> QuerySet[Invitation]:
    invitations = Invitation.objects.filter(project_id=project_id)
    return invitations.select_related("account", "invited_by").order_by("account__email")


def _only_owner(page: Page[Membership]) -> int | None:
    """The id of the membership that cannot end, because nobody else owns the project."""
    owners = [member.pk for member in page if member.role == Membership.Role.OWNER]
    # Owners come first, so that the first page has two of them if there are two.
    return owners[0] if page.number == 1 and len(owners) == 1 else None


class MembersView(ProjectPermissionMixin, FormView):
    """Lists members and invitations, and invites."""

    template_name = "projects/members/members.html"
    permission = Permission.MANAGE_PROJECT
    form_class = InvitationForm
    http_method_names = ["get", "head", "post", "options"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        page = _members(self.project.pk).page(self.request.GET.get("page"), MEMBERS)
        return super().get_context_data(
            page_obj=page,
            members=page.object_list,
            only_owner=_only_owner(page),
            invitations=list(_invitations(self.project.pk)),
            zone=self.project.main_database.backup_time_zone,
            **kwargs,
        )

    def form_valid(self, form: InvitationForm) -> HttpResponse:
        try:
            invitation = members.invite(
                project=self.project,
                actor=self.account,
                address=address_of(self.request),
                **form.cleaned_data,
            )
        except MembersRefusedError as refused:
            form.add_error("email", str(refused))
            return self.form_invalid(form)
        messages.success(
            self.request,
            f"{invitation.account} is invited, and finds the invitation on their list of projects.",
        )
        return redirect("members", self.project.slug)

    def form_invalid(self, form: InvitationForm) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=400)


class MembersAction(ProjectPermissionMixin, View):
    """Something done to a member or an invitation, and back to the list."""

    permission = Permission.MANAGE_PROJECT
    http_method_names = ["post", "options"]

    def back(self) -> HttpResponseRedirect:
        """To the list, for those who still may see it."""
        is_member = Membership.objects.filter(pk=self.membership.pk).exists()
        return redirect("members", self.project.slug) if is_member else redirect("projects")


class RemoveView(MembersAction):
    """Ends a membership."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            member = members.remove(
                project=self.project,
                actor=self.account,
                member_id=kwargs["member"],
                address=address_of(request),
            )
        except MembersRefusedError as refused:
            messages.error(request, str(refused))
            return self.back()
        if member is None:
            messages.info(request, "That member is gone already.")
        else:
            messages.success(request, f"{member.account} is no member any more.")
        return self.back()


class WithdrawView(MembersAction):
    """Takes an invitation back."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        invitation = members.withdraw(
            project=self.project,
            actor=self.account,
            invitation_id=kwargs["invitation"],
            address=address_of(request),
        )
        if invitation is None:
            messages.info(request, "That invitation was answered or withdrawn already.")
        else:
            messages.success(request, f"The invitation of {invitation.account} is withdrawn.")
        return self.back()


class AnswerView(View):
    """Accepts or declines an invitation of one's own."""

    http_method_names = ["post", "options"]
    accept = True

    def post(self, request: HttpRequest, invitation: int) -> HttpResponseBase:
        if not isinstance(request.user, Account):
            raise PermissionDenied("Sign in first.")
        project = members.answer(
            account=request.user,
            invitation_id=invitation,
            accept=self.accept,
            address=address_of(request),
        )
        if project is None:
            return self._already(request, request.user, invitation)
        if self.accept:
            messages.success(request, f"You are a member of {project} now.")
            return redirect("project", project.slug)
        messages.info(request, f"You declined the invitation to {project}.")
        return redirect("projects")

    def _already(self, request: HttpRequest, account: Account, invitation: int) -> HttpResponse:
        """What became of one that was answered in another tab, or sent twice."""
        answer = members.answered(account=account, invitation_id=invitation)
        if answer is None:
            raise Http404("no such invitation")
        verb = "accepted" if answer.accepted else "declined"
        messages.info(request, f"You have {verb} the invitation to {answer.project_name} already.")
        if answer.project is None:
            return redirect("projects")
        return redirect("project", answer.project.slug)
