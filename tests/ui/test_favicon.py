"""The portal's icon at its old address."""

import pytest
from django.test import Client
from django.urls import resolve


@pytest.mark.parametrize("origin", ["backups_portal.urls", "backups_portal.tagoio_api.urls"])
def test_it_answers_at_every_origin(origin: str) -> None:
    view = resolve("/favicon.ico", origin).func
    from django.test import RequestFactory

    response = view(RequestFactory().get("/favicon.ico"))
    assert response["Content-Type"] == "image/svg+xml"
    assert response.content.startswith(b"<svg")
    assert "max-age=86400" in response["Cache-Control"]


@pytest.mark.django_db
def test_nobody_has_to_sign_in_for_it(client: Client) -> None:
    assert client.get("/favicon.ico").status_code == 200
