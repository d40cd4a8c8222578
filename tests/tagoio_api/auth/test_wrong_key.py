"""The API of a portal that runs with another installation key than its own."""

from django.test import override_settings

from backups_portal.tagoio_api.auth.project_token_auth import pools
from tests.tagoio_api.conftest import Api

WRONG = override_settings(INSTALLATION_KEY="0f" * 32)
SEALED = (503, "The project's database cannot be read right now")


def test_a_good_token_is_not_called_unknown(api: Api) -> None:
    assert api.get("/device") == []
    api.client.raise_request_exception = False
    # A process reads the key when it starts, and has no connections yet.
    pools().close()
    with WRONG:
        assert api.call("GET", "/device") == SEALED
        assert api.client.get("/device", headers={"token": api.token})["Retry-After"] == "30"
    assert api.get("/device") == []
