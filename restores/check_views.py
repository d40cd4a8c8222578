"""Pages of the checks that proofs run."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.functional import cached_property
from django.views.generic import View

from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from backups_portal.ui.form_views import RefusingFormView
from restores.checks.check_forms import DEVICES, FORMS, CheckForm, blank_forms
from restores.checks.check_results import newest_results
from restores.checks.check_settings import MAX_CHECKS, add_check, change_check, remove_check
from restores.checks.check_targets import offered_names
from restores.models import Check
from snapshots.errors import SettingsChangedMeanwhileError

GONE = "That check was already removed."


class CheckFormMixin(ProjectPermissionMixin, RefusingFormView):
    """A page with forms of checks, and the names of devices that they offer."""

    http_method_names = ["get", "head", "post"]

    def get_context_data(self, **kwargs: object) -> dict[str, Any]:
        return super().get_context_data(
            device_list=DEVICES, device_names=offered_names(self.project), **kwargs
        )


class ChecksView(CheckFormMixin):
    """Lists the checks with their newest results, and adds one."""

    template_name = "restores/checks.html"

    def get_form_class(self) -> type[CheckForm]:
        kinds = list(FORMS)
        found = FORMS.get(self.request.POST.get("kind", kinds[0]))
        if found is None:
            raise BadRequest("There is no such kind of check.")
        return found

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        context = super().get_context_data(**kwargs)
        checks = list(Check.objects.filter(project=self.project))
        results = newest_results(self.project)
        form = context["form"]
        return {
            **context,
            "lines": [(check, results.get((str(check.pk), check.sentence))) for check in checks],
            "forms": blank_forms(form if form.is_bound else None),
            "is_full": len(checks) >= MAX_CHECKS,
            "max_checks": MAX_CHECKS,
            "is_off": self.project.main_database.proof_policy == "off",
        }

    def form_valid(self, form: CheckForm) -> HttpResponse:
        check = add_check(project=self.project, actor=self.account, wanted=form.wanted())
        messages.success(self.request, f"“{check}” is checked in every proof from now on.")
        return redirect("backups-checks", self.project.slug)


class CheckView(CheckFormMixin):
    """Changes a check."""

    template_name = "restores/check.html"

    @cached_property
    def check(self) -> Check:
        """Return the check; raise Http404 if the project does not have it."""
        return get_object_or_404(Check, project=self.project, pk=self.kwargs["check"])

    def get_form_class(self) -> type[CheckForm]:
        return FORMS[self.check.kind]

    def get_form_kwargs(self) -> dict[str, Any]:
        given = super().get_form_kwargs()
        return {"data": given.get("data"), "check": self.check}

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        return super().get_context_data(check=self.check, **kwargs)

    def form_valid(self, form: CheckForm) -> HttpResponse:
        try:
            check = change_check(
                project=self.project,
                actor=self.account,
                check_id=self.kwargs["check"],
                wanted=form.wanted(),
                loaded=form.loaded,
            )
        except SettingsChangedMeanwhileError as refused:
            del self.check
            form.count_from(self.check, str(refused))
            return self.refuse(form, 409)
        if check is None:
            messages.info(self.request, GONE)
        else:
            messages.success(self.request, f"“{check}” is checked in every proof from now on.")
        return redirect("backups-checks", self.project.slug)


class CheckRemoveView(ProjectPermissionMixin, View):
    """Removes a check; earlier results stay with their proofs."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, check: UUID, **kwargs: object) -> HttpResponseBase:
        removed = remove_check(project=self.project, actor=self.account, check_id=check)
        if removed is None:
            messages.info(request, GONE)
        else:
            messages.success(request, f"“{removed}” is no longer checked.")
        return redirect("backups-checks", self.project.slug)
