"""URLs of recovery objectives and of the Main Database page."""

from django.urls import path

from backups_portal.objectives.views import MainDatabasePage, ObjectivesView

PROJECT = "projects/<slug:slug>/"

urlpatterns = [
    path(f"{PROJECT}main-database/", MainDatabasePage.as_view(), name="main-database"),
    path(f"{PROJECT}objectives/", ObjectivesView.as_view(), name="objectives"),
]
