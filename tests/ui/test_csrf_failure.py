"""The error page of a form that fails the CSRF check."""

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from tests.factories import make_account

pytestmark = pytest.mark.django_db
EXPIRED, UNKNOWN = "This form has expired", "This form came from an unknown address"


def send(settings: Settings, *, secure: bool = False, token: bool = True, **headers: str) -> str:
    """Send a form that is otherwise valid; return the page that answers it."""
    settings.ALLOWED_HOSTS = ["*"]
    client = Client(enforce_csrf_checks=True, headers={"host": "inner:8000"})
    client.force_login(make_account())
    client.get(reverse("security"), secure=secure)
    form = {"csrfmiddlewaretoken": client.cookies["csrftoken"].value} if token else {}
    response = client.post("/sign-out/", form, secure=secure, headers=headers)
    return response.content.decode() if response.status_code == 403 else "taken"


def test_an_old_form_has_expired(settings: Settings) -> None:
    assert EXPIRED in send(settings, token=False)


@pytest.mark.parametrize("origin", ["https://portal.example.com", "http://inner:9000", "null"])
def test_an_unknown_site_is_told_what_the_operator_must_set(
    settings: Settings, origin: str
) -> None:
    page = send(settings, origin=origin)
    assert UNKNOWN in page
    assert EXPIRED not in page
    for word in ("CSRF_TRUSTED_ORIGINS", "PORTAL_URL", "X-Forwarded-Proto", "BEHIND_PROXY"):
        assert word in page
    assert (origin in page) == (origin != "null")


@pytest.mark.parametrize("referer", ["", "https://portal.example.com/x", "http://inner:8000/", "x"])
def test_so_is_one_that_a_referer_names(settings: Settings, referer: str) -> None:
    page = send(settings, secure=True, **({"referer": referer} if referer else {}))
    assert UNKNOWN in page


def test_what_it_says_is_no_markup_and_has_no_password(settings: Settings) -> None:
    page = send(settings, origin="https://u:s3cret@h")
    assert "s3cret" not in page
    page = send(settings, origin="https://<script>alert(1)</script>")
    assert "<script>alert" not in page


def test_the_address_of_the_portal_is_known(settings: Settings) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://portal.example.com"]
    assert send(settings, origin="https://portal.example.com") == "taken"
    assert send(settings, origin="http://inner:8000") == "taken"
