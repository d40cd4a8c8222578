"""Pages of backup evidence: the report, the signed file and its key."""

from http import HTTPStatus

import orjson
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.generic import TemplateView

from backups_portal.audit.audit_log import details_in_words, event_in_words, in_words
from backups_portal.evidence.evidence_key import public_key
from backups_portal.evidence.evidence_period import (
    OutsideError,
    Period,
    PeriodRefusedError,
    quarters,
)
from backups_portal.evidence.evidence_report import MAX_ROWS, Report, make_report
from backups_portal.evidence.evidence_requests import (
    founded_on,
    make_file,
    note_look,
    period_of,
)
from backups_portal.evidence.evidence_scope import Scope
from backups_portal.evidence.evidence_summary import (
    recovery_point_sentence,
    recovery_time_sentence,
    summary,
)
from backups_portal.evidence.forms import DaysForm
from backups_portal.evidence.project_events import EventSection
from backups_portal.evidence.signed_envelope import fingerprint, pem
from backups_portal.lib.bulkhead import FullError
from backups_portal.projects.due_times import local_date
from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from backups_portal.ui import formats
from backups_portal.ui.streamed_export import ExportedFileView

# Rows of a long list that the page shows; the file has the others.
SHOWN = 100
PEM = "application/x-pem-file"
TEXT = "text/plain; charset=utf-8"


class EvidenceMixin(ProjectPermissionMixin):
    """Loads the project and the period that the URL names."""

    def setup(self, request: HttpRequest, *args: object, **kwargs: object) -> None:
        super().setup(request, *args, **kwargs)
        self.now = timezone.now()

    def period(self, form: DaysForm) -> Period:
        """Return the period of a form.

        Raises:
            PeriodRefusedError: there is no evidence for it; the form says why, unless the period
                is merely outside the project's life.
        """
        if not form.is_valid():
            raise PeriodRefusedError(str(next(iter(form.errors.values()))[0]))
        try:
            return period_of(self.project, *form.days(), now=self.now)
        except OutsideError:
            raise
        except PeriodRefusedError as error:
            form.refuse(error)
            raise

    def scope(self, period: Period) -> Scope:
        """Define what the account may see."""
        return Scope(self.project, period, self.now, [self.account.pk])


class EvidenceView(EvidenceMixin, TemplateView):
    """The evidence of a period, to read and to print."""

    template_name = "evidence/evidence.html"

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        form = DaysForm(request.GET)
        status, found = self._look(form)
        response = self.render_to_response(
            self.get_context_data(**self._choice(form, found.get("period")), **found),
            status=status,
        )
        response["Cache-Control"] = "no-store"
        return response

    def _look(self, form: DaysForm) -> tuple[int, dict[str, object]]:
        try:
            period = self.period(form)
        except OutsideError as error:
            return HTTPStatus.OK, {"outside": str(error)}
        except PeriodRefusedError:
            return HTTPStatus.BAD_REQUEST, {}
        scope = self.scope(period)
        found = self._shown(make_report(scope))
        if self.request.method == "GET":
            note_look(scope, self.account)
        return HTTPStatus.OK, {"period": period, **found}

    def _choice(self, form: DaysForm, period: object) -> dict[str, object]:
        """Offer the project's quarters, and fill in the current days."""
        zone = self.project.main_database.backup_time_zone
        offered = quarters(local_date(self.now, zone), founded_on(self.project))
        if isinstance(period, Period):
            form = DaysForm({"from": period.first, "to": period.last})
        return {"form": form, "quarters": offered}

    def _shown(self, report: Report) -> dict[str, object]:
        return {
            "report": report,
            "now": self.now,
            "most_rows": MAX_ROWS,
            "summary": summary(report),
            "recovery_time_sentence": recovery_time_sentence(report),
            "recovery_point_sentence": recovery_point_sentence(report),
            "changes": [
                (change, details_in_words(change.details))
                for change in report.settings.changes[:SHOWN]
            ],
            "restores": report.restores.lines[:SHOWN],
            "holds": _lines(report.holds),
            "deletions": _lines(report.deletions),
            "access": _lines(report.access),
            "access_counts": [
                (in_words(action), count) for action, count in report.access.counts.items()
            ],
            "key": fingerprint(public_key()),
            "is_empty": not report.days and not report.restores.total and not report.holds_now,
        }


class EvidenceFileView(EvidenceMixin, ExportedFileView):
    """The evidence of a period as signed JSON."""

    content_type = "application/json"

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        try:
            scope = self.scope(self.period(DaysForm(request.GET)))
            file = make_file(scope, actor=self.account, made_by=self.account.email)
        except PeriodRefusedError as error:
            return HttpResponse(str(error), content_type=TEXT, status=HTTPStatus.BAD_REQUEST)
        except FullError as full:
            busy = HttpResponse(str(full), content_type=TEXT, status=HTTPStatus.SERVICE_UNAVAILABLE)
            busy["Retry-After"] = str(full.seconds)
            return busy
        content = orjson.dumps(file.members, option=orjson.OPT_APPEND_NEWLINE)
        response = HttpResponse(content, content_type=self.content_type)
        response["Content-Disposition"] = f'attachment; filename="{file.name}"'
        response["Cache-Control"] = "no-store"
        return response


class PublicKeyView(ProjectPermissionMixin, ExportedFileView):
    """The installation's public key, which verifies its evidence."""

    content_type = PEM

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        response = HttpResponse(pem(public_key()), content_type=PEM)
        response["Content-Disposition"] = 'attachment; filename="evidence-key.pem"'
        return response


def _lines(section: EventSection) -> list[dict[str, object]]:
    """Describe the newest events of a section in words."""
    return [event_in_words(event, formats.day) for event in section.rows(SHOWN)]
