"""The page of backup evidence."""

from datetime import date

import pytest
from django.test import Client

from backups_portal.projects.models import Project
from tests.evidence.conftest import fill

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("now")]


def read(browser: Client, project: Project, query: str = "", status: int = 200) -> str:
    response = browser.get(f"/projects/{project.slug}/evidence/{query}")
    assert response.status_code == status, response.content
    return " ".join(response.text.split())


def test_says_first_how_the_period_went(browser: Client, project: Project) -> None:
    fill(project, date(2026, 10, 1), date(2026, 11, 29), without=(date(2026, 11, 3),))
    page = read(browser, project)
    assert "59 of 60 days have a backup; 59 proven; 1 missed: no cause recorded." in page
    assert "As of <time" in page
