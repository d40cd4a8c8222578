"""Settings of sign-in that operators do not change, most of them django-allauth's."""

# Apps of allauth; our own rules are in backups_portal/accounts.
SIGN_IN_APPS = [
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "django.contrib.sessions",
]
QUARTER_SECONDS = 15 * 60

LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "projects"
LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_ADAPTER = "backups_portal.accounts.account_adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
# Operators or the provider vouch for the first address; a changed one must be confirmed.
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = QUARTER_SECONDS
ACCOUNT_REAUTHENTICATION_METHODS = ["password", "mfa"]
ACCOUNT_LOGIN_TIMEOUT = 10 * 60
ACCOUNT_FORMS = {
    "login": "backups_portal.accounts.forms.SignInForm",
    "reauthenticate": "backups_portal.accounts.forms.PasswordForm",
    "reset_password": "backups_portal.accounts.forms.ForgottenForm",
    "user_token": "backups_portal.accounts.forms.ResetLinkForm",
    "reset_password_from_key": "backups_portal.accounts.forms.NewPasswordForm",
    "change_password": "backups_portal.accounts.forms.ChangePasswordForm",
    "set_password": "backups_portal.accounts.forms.FirstPasswordForm",
    "add_email": "backups_portal.accounts.forms.NewEmailForm",
}
# accounts/sign_in_limits.py limits passwords, so that nobody can lock others out, and codes,
# together with those at the projects' API. `login_failed` is the limit of passkeys.
ACCOUNT_RATE_LIMITS = {
    "login": None,
    "reauthenticate": None,
    "change_password": None,
    "login_failed": f"5/{QUARTER_SECONDS}s/key",
    "reset_password": "20/h/ip",
}

MFA_ADAPTER = "backups_portal.accounts.second_factor.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
# Safe, because sign-up is closed: nobody can make an account for another person's address.
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_TOTP_ISSUER = "Backups Portal"
# Clocks may be one step ahead or behind.
MFA_TOTP_TOLERANCE = 1
MFA_RECOVERY_CODE_DIGITS = 10
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_FORMS = {
    "authenticate": "backups_portal.accounts.forms.CodeForm",
    "reauthenticate": "backups_portal.accounts.forms.CodeAgainForm",
    "activate_totp": "backups_portal.accounts.forms.TurnOnForm",
    "login_webauthn": "backups_portal.accounts.forms.PasskeySignInForm",
    "authenticate_webauthn": "backups_portal.accounts.forms.PasskeyForm",
    "reauthenticate_webauthn": "backups_portal.accounts.forms.PasskeyAgainForm",
    "add_webauthn": "backups_portal.accounts.forms.NewPasskeyForm",
}

USERSESSIONS_ADAPTER = "backups_portal.accounts.account_adapter.SessionsAdapter"

SOCIALACCOUNT_ADAPTER = "backups_portal.accounts.single_sign_on.SingleSignOnAdapter"
# A verified address joins the account that has it; later sign-ins use the provider's id.
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
# The id of the only provider, in the database and in the callback's address.
PROVIDER = "oidc"

# Encrypted: sessions hold new second-factor secrets and the state of sign-ins.
SESSION_SERIALIZER = "backups_portal.lib.sealed_sessions.SealedSerializer"


def shared_cache(redis_url: str) -> dict[str, object]:
    """Return the cache in which allauth counts tries and remembers used codes."""
    return {
        "BACKEND": "backups_portal.lib.shared_cache.SharedCache",
        "LOCATION": redis_url,
        "KEY_PREFIX": "backups-portal:cache",
        "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 0.5},
    }


def single_sign_on_app(*, name: str, url: str, client_id: str, secret: str) -> dict[str, object]:
    """Return SOCIALACCOUNT_PROVIDERS; empty without the provider's URL."""
    app = {
        "provider_id": PROVIDER,
        "name": name,
        "client_id": client_id,
        "secret": secret,
        "settings": {"server_url": url, "oauth_pkce_enabled": True},
    }
    return {"openid_connect": {"APPS": [app]}} if url else {}
