"""A real OpenID Connect provider on loopback whose answers a test can corrupt."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import flask
import jwt
import oidc_provider_mock
import pytest
import requests
from authlib import jose
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client
from oidc_provider_mock._server import _threaded_server

from backups_portal.sign_in_settings import single_sign_on_app

PORTAL = "http://testserver"


@dataclass
class Provider:
    """A provider's address, and what is wrong with its answers.

    Attributes:
        url: Its base URL.
        claims: Wrong claims of its tokens; None leaves one out.
        userinfo: The same for its userinfo answer.
        forges: Whether tokens are signed with a foreign key.
        unsigned: Whether tokens lack a signature.
        broken: Whether it answers with something else entirely.
    """

    url: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    forges: bool = False
    unsigned: bool = False
    broken: bool = False

    def knows(self, sub: str, **claims: Any) -> None:
        """Register a person."""
        requests.put(f"{self.url}/users/{sub}", json=claims, timeout=5).raise_for_status()

    def sends_back(self, client: Client, sub: str, path: str = "/sign-in/single/") -> str:
        """Sign in at the provider, starting at the portal; return the redirect back."""
        begun = client.get(path)
        assert begun.status_code == 302, begun.text
        assert begun["Location"].startswith(f"{self.url}/oauth2/authorize?")
        answer = requests.post(
            begun["Location"], data={"sub": sub}, allow_redirects=False, timeout=5
        )
        back: str = answer.headers["Location"]
        assert back.startswith(f"{PORTAL}/sign-in/single/back/?")
        return back.removeprefix(PORTAL)

    def sign_in(self, client: Client, sub: str, path: str = "/sign-in/single/") -> Any:
        """Sign in through the provider; return the portal's answer."""
        return client.get(self.sends_back(client, sub, path))

    def spoil(self, response: flask.Response) -> flask.Response:
        """Corrupt an answer on its way to the portal."""
        if self.broken and flask.request.path != "/oauth2/authorize":
            response.set_data("<html>down for maintenance</html>")
        elif flask.request.path == "/oauth2/token" and response.status_code == 200:
            body = response.get_json()
            body["id_token"] = self._spoiled(body["id_token"])
            response.set_data(flask.json.dumps(body))
        elif flask.request.path == "/userinfo" and self.userinfo:
            response.set_data(flask.json.dumps({**response.get_json(), **self.userinfo}))
        return response

    def _spoiled(self, token: str) -> str:
        claims = jwt.decode(token, options={"verify_signature": False}) | self.claims
        kept = {name: value for name, value in claims.items() if value is not None}
        # The mock leaves the key's id out, unlike all providers in use.
        key_id = {"kid": flask.g.oidc_provider_mock_storage.jwk.thumbprint()}
        if self.unsigned:
            return jwt.encode(kept, "", algorithm="none", headers=key_id)
        key = made_up_key() if self.forges else signing_key(flask.g.oidc_provider_mock_storage.jwk)
        return jwt.encode(kept, key, algorithm="RS256", headers=key_id)


@cache
def made_up_key() -> rsa.RSAPrivateKey:
    """Make a foreign key, once: it takes longer than all tests that use it."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def signing_key(key: jose.RSAKey) -> rsa.RSAPrivateKey:
    """What signs with a provider's key: to read it takes longer than to sign."""
    return jwt.PyJWK(key.as_dict(is_private=True), algorithm="RS256").key


@cache
def key_of(name: str) -> jose.RSAKey:
    """Return a provider's signing key, made once for all tests."""
    return jose.RSAKey.generate_key(is_private=True)


@contextmanager
def running_provider(name: str = "first") -> Iterator[Provider]:
    """Run a provider for the duration of the context."""
    provider, key = Provider(), key_of(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
        patch.setattr(jose.RSAKey, "generate_key", lambda **options: key)
        app = oidc_provider_mock.app(require_nonce=True)
        app.after_request(provider.spoil)
        with _threaded_server(app=app, host="127.0.0.1") as server:
            provider.url = f"http://127.0.0.1:{server.server_port}"
            yield provider


def name_provider(settings: Any, url: str) -> None:
    settings.PORTAL_URL = PORTAL
    settings.OIDC_PROVIDER_URL, settings.OIDC_NAME = url, "Example ID"
    settings.SOCIALACCOUNT_PROVIDERS = single_sign_on_app(
        name="Example ID", url=url, client_id="portal", secret="known to both"
    )
