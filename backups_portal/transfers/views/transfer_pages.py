"""The page “Move data”: choice, dry run, progress and report."""

import uuid
from typing import Any, Protocol

import psycopg
from django.core.paginator import Paginator
from django.db.models import F, Q
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.functional import cached_property
from django.views.generic import TemplateView

from backups_portal.accounts.models import Account
from backups_portal.billing.charge_ledger import running_charge
from backups_portal.lib.leased_job import send_on_commit
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.database_dsn import why_silent
from backups_portal.projects.models import Membership, Project
from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.transfers.forms import TransferForm
from backups_portal.transfers.models import OF_NEWER, Transfer
from backups_portal.transfers.move.batches import PRESENT
from backups_portal.transfers.pages.device_list import list_devices
from backups_portal.transfers.pages.move_suggestion import (
    DEVICE_ID,
    ProjectChoice,
    Suggestion,
    choice_query,
    local_text,
    read_suggestion,
)
from backups_portal.transfers.pages.outcome_sentences import (
    FUTURE,
    NO_MATCH,
    PAST,
    chosen_records,
    outcome_notes,
    outcome_sentence,
)
from backups_portal.transfers.pages.shown_transfers import transfers_for
from backups_portal.transfers.plan.dry_run import Plan
from backups_portal.transfers.plan.selection import Choice
from backups_portal.transfers.report_csv import report_csv
from backups_portal.transfers.tasks import run_transfer
from backups_portal.transfers.transfer_report import (
    changed_settings,
    has_changed,
    settings_texts,
    shown_lines,
    transfer_json,
)
from backups_portal.transfers.transfer_requests import (
    find_transfer,
    request_transfer,
)
from backups_portal.ui.form_views import RefusingFormView, key_of_request
from backups_portal.ui.streamed_export import ExportedFileView, csv_response
from backups_portal.ui.viewer_time_zone import viewers_zone
from restores.shown_restores import origin_of

log = get_logger(__name__)
ON_A_PAGE = 50
LISTED = 25
DEVICES = 25


SHOWN = (
    *("source", "source_name", "target", "target_name", "requested_by", "reason"),
    *("state", "work", "rows_total", "created_at"),
)


class TransfersView(ProjectPermissionMixin, RefusingFormView):
    """A project's transfers, and a form for one; links: move_suggestion.py."""

    template_name = "transfers/transfers.html"
    form_class = TransferForm
    http_method_names = ["get", "head", "post"]

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if "show" not in request.POST:
            return super().post(request, *args, **kwargs)
        posted = _as_posted(request.POST)
        if "HX-Request" not in request.headers:
            form = self.form_class(**self._form_options(), initial=posted)
            return self.render_to_response(self.get_context_data(form=form))
        if posted.get("source") != str(self.project.pk):
            # One of the two must be the page's project.
            posted["target"] = self.project.pk
        elif posted.get("target") == posted["source"]:
            posted["target"] = ""
        form = self.form_class(**self._form_options(), initial=posted)
        form.close_source()
        return render(request, "transfers/_devices.html", {"form": form, **self._devices(form)})

    def get_initial(self) -> dict[str, object]:
        asked = self.suggestion
        return {
            "source": asked.source,
            "target": asked.target,
            "devices": asked.devices,
            "variables": ", ".join(asked.variables),
            "since": local_text(asked.since, self.zone),
            "until": local_text(asked.until, self.zone),
            "zone": self.zone,
            "request_key": uuid.uuid4(),
        }

    @cached_property
    def zone(self) -> str:
        """Return the time zone in which the period is shown."""
        return viewers_zone() or self.project.main_database.backup_time_zone

    @cached_property
    def suggestion(self) -> Suggestion:
        """Return what the address suggests."""
        return read_suggestion(self.request.GET, self.projects, self.project.pk, self.zone)

    @cached_property
    def projects(self) -> list[ProjectChoice]:
        """Return the owner's projects, by name."""
        owned = Project.objects.filter(
            memberships__account=self.account, memberships__role=Membership.Role.OWNER
        ).exclude(state=Project.State.REMOVED)
        fields = ("pk", "name", "slug", "state", "created_at", "restored_by__snapshot__project")
        return [ProjectChoice(*row) for row in owned.order_by("name", "pk").values_list(*fields)]

    def _form_options(self) -> dict[str, Any]:
        return {"projects": self.projects, "zone": self.zone}

    def get_form_kwargs(self) -> dict[str, object]:
        return {**super().get_form_kwargs(), **self._form_options()}

    def get_context_data(self, **kwargs: Any) -> dict[str, object]:
        if self.request.method == "POST":
            # Include the list, because a POST waits for it, or comes from a page without scripts.
            kwargs |= self._devices(kwargs["form"])
        found = Transfer.objects.filter(Q(source=self.project) | Q(target=self.project))
        # Only what the list shows: report and choice are long.
        rows = found.only(*SHOWN).annotate(
            stored=F("report__summary__stored"),
            settings_of=F("report__summary__device_settings"),
            settings_way=F("choice__device_settings"),
        )
        page = Paginator(rows, LISTED).get_page(self.request.GET.get("page"))
        page.object_list = transfers_for(self.account, page.object_list)
        ignored = self.suggestion.ignored if self.request.method != "POST" else []
        return super().get_context_data(page=page, ignored=ignored, **kwargs)

    def _devices(self, form: TransferForm) -> dict[str, object]:
        """Read the devices of the project chosen under “From”."""
        source = self._running(form["source"].value())
        if source is None:
            return {}
        asked = self.request.POST
        try:
            devices = list_devices(
                source,
                sought=asked.get("q", ""),
                number=asked.get("show"),
                size=DEVICES,
                chosen=[one for one in asked.getlist("devices") if DEVICE_ID.fullmatch(one)],
            )
        except psycopg.Error as error:
            log.warning("devices cannot be listed", project=source.pk, exc_info=True)
            return {"unreachable": why_silent(source, error)}
        return {"devices": devices, "source_name": source.name}

    def _running(self, pk: object) -> Project | None:
        """Find a running project of the owner by a posted, unchecked key."""
        known = [one.pk for one in self.projects if one.is_running and str(one.pk) == str(pk)]
        return Project.objects.select_related("server").filter(pk__in=known).first()

    def form_valid(self, form: TransferForm) -> HttpResponse:
        values = form.cleaned_data
        if self.project not in (values["source"], values["target"]):
            raise TransferRefusedError(
                f"One of the two projects must be {self.project.name}.", field="source"
            )
        transfer = request_transfer(
            source=values["source"],
            target=values["target"],
            actor=self.account,
            choice=values["choice"],
            request_key=key_of_request(
                *(values["request_key"], values["source"].pk, values["target"].pk),
                values["choice"].as_json(),
            ),
        )
        send_on_commit(run_transfer, transfer.pk)
        return redirect("transfer", self.project.slug, transfer.pk)


def _as_posted(posted: QueryDict) -> dict[str, object]:
    """Return the posted values, to show them again without validation."""
    return {**posted.dict(), **{name: posted.getlist(name) for name in ("devices", "kinds")}}


class TransferMixin(ProjectPermissionMixin):
    """A view of a transfer, for accounts that own both of its projects."""

    def get_transfer(self) -> Transfer:
        """Find the transfer, if this project is one of its two sides."""
        transfer = find_transfer(self.account, self.kwargs["transfer"])
        if self.project not in (transfer.source, transfer.target):
            raise Http404("no such transfer")
        transfers_for(self.account, [transfer])
        return transfer


class TransferPage(TransferMixin, TemplateView):
    """A page about a transfer."""

    template_name = "transfers/transfer.html"
    transfer: Transfer | None = None

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        kwargs.pop("transfer", None)
        transfer = self.transfer or self.get_transfer()
        plan = Plan.from_json(transfer.plan) if transfer.plan else None
        return super().get_context_data(
            transfer=transfer,
            plan=plan,
            is_under_way=transfer.state in Transfer.UNFINISHED,
            is_report=bool(transfer.summary),
            undone=transfer.report.get("undone"),
            **self._outcome(transfer, plan),
            **_after_the_move(transfer),
            **kwargs,
        )

    def _outcome(self, transfer: Transfer, plan: Plan | None) -> dict[str, object]:
        """Describe what changes or has changed; unchanged devices are folded."""
        lines = shown_lines(transfer, plan)
        changed = [line for line in lines if has_changed(line)]
        is_report = bool(transfer.summary)
        tense = PAST if is_report else FUTURE
        resources = [vars(item) for item in plan.placements] if plan else []
        are_all_shown = "all" in self.request.GET
        listed = lines if are_all_shown else changed
        settings = changed_settings(plan) if plan else None
        sentence = outcome_sentence(lines, resources, tense, settings=settings)
        is_known = Choice.is_known(transfer.choice)
        choice = transfer.chosen() if is_known else Choice()
        return {
            "choice": choice,
            "choice_query": choice_query(choice) if is_known else "",
            "chosen_records": chosen_records(choice, lines) if is_known else OF_NEWER,
            "is_needless": sentence in (NO_MATCH, FUTURE.unchanged),
            "page": Paginator(listed, ON_A_PAGE).get_page(self.request.GET.get("page")),
            "unchanged": len(lines) - len(changed),
            "are_all_shown": are_all_shown,
            "added_label": _added_label(transfer),
            "sentence": sentence,
            "notes": outcome_notes(lines, resources, plan.tokens if plan else 0),
            "resources": sorted(resources, key=lambda item: item["fate"] == PRESENT),
            "settings": settings_texts(plan) if plan else [],
        }


def _after_the_move(transfer: Transfer) -> dict[str, object]:
    """Return whether data was moved back, and the backup project's charge."""
    if transfer.source is None or transfer.state != Transfer.State.COMPLETED:
        return {}
    origin, summary = origin_of(transfer.source), transfer.summary
    was_compared = summary.get("chosen") or summary.get("device_settings_different")
    is_done_with = origin is not None and (summary.get("is_equal") or not was_compared)
    return {
        "is_back": origin is not None and origin == transfer.target_id,
        "backup_charge": running_charge(transfer.source.pk) if is_done_with else None,
    }


def _added_label(transfer: Transfer) -> str:
    """Return the heading of the column of stored records."""
    if not transfer.report.get("devices"):
        return "To add"
    return "Was added" if transfer.is_undoing else "Added"


class TransferStatusView(TransferPage):
    """The part of that page that refreshes itself."""

    template_name = "transfers/_status.html"


class ReportView(TransferMixin, ExportedFileView):
    """The report as a file to keep."""

    def head(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        self.get_transfer()
        if kwargs["form"] == "json":
            self.content_type = "application/json"
        return super().head(request, *args, **kwargs)

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        transfer = self.get_transfer()
        name = f"transfer-{transfer.pk}.{kwargs['form']}"
        if kwargs["form"] == "csv":
            return csv_response(name, report_csv(transfer))
        disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
        return JsonResponse(transfer_json(transfer), headers=disposition)


class Verb(Protocol):
    """A service of transfer_requests that acts on a transfer."""

    def __call__(self, *, transfer: Transfer, actor: Account) -> None: ...


class ActionView(TransferPage):
    """A button that changes the transfer, and shows it again."""

    http_method_names = ["post"]
    verb: Verb | None = None
    # Whether a worker has work to do afterwards.
    queues = True
    # The work it requests, and its final states, if a second press is not a mistake.
    again: tuple[str, tuple[str, ...]] = ("", ())

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        self.transfer = transfer = self.get_transfer()
        try:
            if self.verb:
                self.verb(transfer=transfer, actor=self.account)
        except TransferRefusedError as refused:
            if self._is_asked(transfer):
                return redirect("transfer", self.project.slug, transfer.pk)
            log.warning("refused %s", refused, transfer=transfer.pk)
            context = self.get_context_data(refusal=refused.message)
            return self.render_to_response(context, status=refused.status)
        if self.queues:
            send_on_commit(run_transfer, transfer.pk)
        return redirect("transfer", self.project.slug, transfer.pk)

    def _is_asked(self, transfer: Transfer) -> bool:
        """Tell whether an earlier press has requested the same."""
        transfer.refresh_from_db()
        work, ends = self.again
        return transfer.work == work and transfer.state in (*Transfer.UNFINISHED, *ends)
