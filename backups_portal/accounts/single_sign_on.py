"""Single sign-on by OpenID Connect: allauth's provider, with the checks that it leaves out.

allauth checks state, PKCE, issuer, audience and time. This adds the token's signature and nonce,
that userinfo belongs to the same person, and which address may join which account.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import get_adapter as get_account_adapter
from allauth.account.models import EmailAddress
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.providers.base import AuthError, AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_safe
from requests import RequestException, Response, Session, TooManyRedirects

from backups_portal.accounts.models import Account
from backups_portal.accounts.sign_in_limits import SSO_TOLD
from backups_portal.audit.recorder import record
from backups_portal.lib.circuit_breaker import SilentError, unless_silent
from backups_portal.lib.client_address import client_address, neighbourhood
from backups_portal.lib.json_types import JsonObject
from backups_portal.lib.loggers import get_logger
from backups_portal.sign_in_settings import PROVIDER
from backups_portal.ui.visible_names import name_problem

log = get_logger(__name__)

# Short, as somebody waits on the sign-in page.
PAUSE = timedelta(seconds=10)
UID_LENGTH = SocialAccount._meta.get_field("uid").max_length


class PortalOAuth2Adapter(OpenIDConnectOAuth2Adapter):
    """The portal's exchange with the provider."""

    def get_provider(self) -> "PortalProvider":
        return PortalProvider(self.request, app=super().get_provider().app)

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        return f"{settings.PORTAL_URL}{reverse('single-sign-on-callback')}"

    def get_access_token_data(self, *args: Any, **kwargs: Any) -> JsonObject:
        data: JsonObject = super().get_access_token_data(*args, **kwargs)
        # allauth skips the signature of tokens fetched over TLS, but the address may lack TLS.
        self.did_fetch_access_token = False
        if "id_token" not in data:
            raise OAuth2Error("no id_token")
        return data


class PortalProvider(OpenIDConnectProvider):
    """The configured provider, which may send the e-mail in another claim."""

    oauth2_adapter_class = PortalOAuth2Adapter

    def extract_uid(self, data: JsonObject) -> str:
        # Ids are unique per issuer: another issuer may use the same id for somebody else.
        uid = f"{data['id_token']['iss']} {super().extract_uid(data)}"
        return uid if len(uid) <= UID_LENGTH else hashlib.sha256(uid.encode()).hexdigest()

    def extract_email_addresses(self, data: JsonObject) -> list[Any]:
        for claims in (data.get("userinfo") or {}, data.get("id_token") or {}):
            if email := claims.get(settings.OIDC_EMAIL_CLAIM):
                if _is_lookalike(str(email)):
                    return []
                verified = claims.get("email_verified")
                claims = {"email": email, "email_verified": verified}
                return super().extract_email_addresses({"userinfo": claims})
        return []

    def extract_common_fields(self, data: JsonObject) -> JsonObject:
        (email, *_) = [one.email for one in self.extract_email_addresses(data)] or [""]
        return {**super().extract_common_fields(data), "email": email}


class SingleSignOnAdapter(DefaultSocialAccountAdapter):
    """Decides who may sign in through the provider, and explains refusals."""

    def get_requests_session(self) -> Session:
        """Return an HTTP session with a circuit breaker for a silent provider."""
        session: Session = super().get_requests_session()
        session.request = partial(_ask_provider, session.request)  # type: ignore[method-assign]
        return session

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Exception | None = None,
        extra_context: JsonObject | None = None,
    ) -> None:
        if isinstance(exception, RequestException):
            raise ImmediateHttpResponse(_away(request, exception))
        why = "cancelled" if error == AuthError.CANCELLED else type(exception).__name__
        raise ImmediateHttpResponse(_refuse(request, why))

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        data = sociallogin.account.extra_data
        token, person = data["id_token"], data.get("userinfo", {})
        expected = sociallogin.state.get("nonce", "")
        if not expected or not hmac.compare_digest(str(token.get("nonce")), expected):
            raise ImmediateHttpResponse(_refuse(request, "nonce"))
        if person.get("sub") != token.get("sub"):
            raise ImmediateHttpResponse(_refuse(request, "another person"))
        if sociallogin.is_existing:
            return
        addresses = _addresses(sociallogin)
        email = addresses[0] if addresses else ""
        if not email:
            text = f"{settings.OIDC_NAME} doesn't say that your e-mail is verified."
            raise ImmediateHttpResponse(_refuse(request, "e-mail not verified", text))
        account = Account.objects.filter(email__iexact=email).first()
        if account and _has_joined(account, token):
            text = f"{email} belongs to another person at {settings.OIDC_NAME}. Ask the operator."
            raise ImmediateHttpResponse(_refuse(request, "another person joined", text, email))
        if account or not settings.OIDC_CREATE_ACCOUNTS:
            text = f"{email} has no account here. Ask the operator of this portal for one."
            raise ImmediateHttpResponse(_refuse(request, "no account", text, email))
        # The address belongs to this person, so cancel other accounts' pending changes to it.
        EmailAddress.objects.filter(email=email, verified=False).delete()

    def authenticate_by_email(self, sociallogin: SocialLogin) -> tuple[Account, str] | None:
        """Find the account of a verified address, not one that only looks alike.

        An account that another person at the provider has joined stays theirs, because providers
        reassign addresses.
        """
        token = sociallogin.account.extra_data["id_token"]
        for email in _addresses(sociallogin):
            account = Account.objects.filter(email__iexact=email).first()
            is_same = account is not None and account.email.isascii() and email.isascii()
            if not account or _has_joined(account, token):
                continue
            if is_same or account.email == email:
                account.vouch_for_email()
                return account, email
        return None

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return bool(settings.OIDC_CREATE_ACCOUNTS)

    def populate_user(
        self, request: HttpRequest, sociallogin: SocialLogin, data: JsonObject
    ) -> Account:
        account: Account = super().populate_user(request, sociallogin, data)
        name = str(data.get("name") or "")[:100]
        account.name = "" if name_problem(name) else name
        return account

    @transaction.atomic
    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> Any:
        account = super().save_user(request, sociallogin, form)
        account.record("account.created", by="single sign-on")
        return account


# By GET: Chromium applies this page's form-action policy to every redirect of a form, and providers
# may redirect to other hosts. It signs in the provider's user, and changes nothing else.
@login_not_required
@require_safe
def single_sign_on(request: HttpRequest) -> HttpResponse:
    """Redirect a visitor to the provider, and afterwards to their target."""
    if not settings.OIDC_PROVIDER_URL:
        raise Http404
    target, nonce = request.GET.get("next", ""), secrets.token_urlsafe(24)
    parameters = {"nonce": nonce}
    if request.user.is_authenticated:
        # For reauthentication the provider must ask again, despite its own session.
        parameters["prompt"] = "login"
    try:
        provider = PortalOAuth2Adapter(request, PROVIDER).get_provider()
        return provider.redirect(
            request,
            AuthProcess.LOGIN,
            next_url=target if get_account_adapter().is_safe_url(target) else None,
            auth_params=parameters,
            nonce=nonce,
        )
    except (RequestException, KeyError, ValueError) as error:
        return _away(request, error)


@login_not_required
@require_safe
def single_sign_on_callback(request: HttpRequest) -> HttpResponseBase:
    """Sign in the person in the provider's answer, if it is valid."""
    if not settings.OIDC_PROVIDER_URL:
        raise Http404
    try:
        adapter = PortalOAuth2Adapter(request, PROVIDER)
        return OAuth2CallbackView.adapter_view(adapter)(request)
    except RequestException as error:
        return _away(request, error)
    except (KeyError, TypeError, ValueError, IntegrityError, NoReverseMatch) as error:
        # The provider's answer violates the standard, or a concurrent one has made the account.
        # allauth would then ask for another e-mail, on a page that the portal does not have.
        return _refuse(request, type(error).__name__)


def _addresses(sociallogin: SocialLogin) -> list[str]:
    """List the addresses that the provider has verified."""
    # allauth has already dropped invalid addresses.
    return [one.email for one in sociallogin.email_addresses if one.verified]


def _is_lookalike(email: str) -> bool:
    """Tell whether lower-casing makes a letter ASCII, like the Kelvin sign.

    The result could be another person's address.
    """
    return any(not letter.isascii() and letter.lower().isascii() for letter in email)


def _has_joined(account: Account, token: JsonObject) -> bool:
    """Tell whether somebody from the token's issuer already uses an account."""
    joined = SocialAccount.objects.filter(user=account)
    return joined.filter(extra_data__id_token__iss=token.get("iss")).exists()


def _ask_provider(ask: Callable[..., Response], method: str, url: str, **options: Any) -> Response:
    try:
        host = urlsplit(url).netloc
        with unless_silent("sign-in", host, answers=(TooManyRedirects,), pause=PAUSE):
            return ask(method, url, **options)
    except SilentError as error:
        raise RequestException(str(error)) from error


def _away(request: HttpRequest, error: Exception) -> HttpResponse:
    log.warning("the single sign-on provider does not answer", error=type(error).__name__)
    other = "Sign in with your password" if settings.PASSWORD_SIGN_IN else "Use a passkey"
    messages.error(
        request,
        f"We can't reach {settings.OIDC_NAME} right now. {other}, or try again in a few minutes.",
    )
    return redirect("account_login")


def _refuse(request: HttpRequest, why: str, text: str = "", email: str = "") -> HttpResponse:
    log.warning("single sign-on refused: %s", why)
    if not SSO_TOLD.take(neighbourhood(client_address())):
        details = {"by": "single sign-on", "reason": why}
        record(action="session.refused", actor=None, subject=email, details=details)
    messages.error(request, text or "You weren't signed in. Start again.")
    return redirect("account_login")
