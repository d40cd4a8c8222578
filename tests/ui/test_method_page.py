"""A visitor who opens a form's target address is told that it only receives forms."""

import uuid

import pytest
from django.test import Client
from django.urls import reverse

from tests import factories

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", ["restore-move-back", "restore-retry"])
def test_going_there_by_hand_shows_a_page(client: Client, name: str) -> None:
    project = factories.make_project_row()
    restore = factories.make_restore(
        factories.make_snapshot(project), requested_by=project.created_by
    )
    client.force_login(project.created_by)
    answer = client.get(reverse(name, args=[restore.pk]))
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert "Go back and press the button again." in answer.text


def test_a_wrong_method_of_a_program_gets_no_page(client: Client) -> None:
    project = factories.make_project_row()
    client.force_login(project.created_by)
    assert client.delete("/").status_code == 405
    assert client.delete("/").content == b""
    answer = client.put(f"/api/v1/restores/{uuid.uuid4()}")
    assert answer.status_code == 405
    assert "press the button" not in answer.text
