"""URLs of a project's backup evidence."""

from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from backups_portal.evidence.views import EvidenceFileView, EvidenceView, PublicKeyView

EVIDENCE = "projects/<slug:slug>/evidence/"
# These views accept only GET and HEAD, and answer anything else with 405.
read_only = csrf_exempt

urlpatterns = [
    path(EVIDENCE, read_only(EvidenceView.as_view()), name="evidence"),
    path(f"{EVIDENCE}json/", read_only(EvidenceFileView.as_view()), name="evidence-json"),
    path(f"{EVIDENCE}key/", read_only(PublicKeyView.as_view()), name="evidence-key"),
]
