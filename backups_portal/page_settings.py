"""Settings that no operator changes: what requests pass through, and what pages may load."""

from csp.constants import NONE, SELF
from django_guid.integrations import CeleryIntegration

# Log lines of a request, and the tasks that it sends, have its id or that of a proxy.
DJANGO_GUID = {
    "GUID_HEADER_NAME": "X-Request-ID",
    "EXPOSE_HEADER": False,
    "INTEGRATIONS": [CeleryIntegration()],
}

MIDDLEWARE = [
    "django_guid.middleware.guid_middleware",
    "backups_portal.ops.health_middleware.HealthMiddleware",
    "backups_portal.lib.client_address.ClientAddressMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "backups_portal.ui.compression.PageCompressionMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "backups_portal.lib.body_limit.BodyLimitMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "backups_portal.accounts.middleware.AccountRequiredMiddleware",
    "backups_portal.accounts.middleware.SeenSessionMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "backups_portal.ui.htmx_middleware.LivePartsMiddleware",
    "backups_portal.ui.viewer_time_zone.ViewersZoneMiddleware",
    "backups_portal.ui.method_page.MethodPageMiddleware",
    "backups_portal.ui.form_views.RefusedFormMiddleware",
]

# In an address an id stands behind these names, and a token, which logs do not show, elsewhere.
NAMES_BEFORE_IDS = ("backups", "checks", "restores", "transfers")
# Their views refuse large bodies themselves, in words for programs.
NAMESPACES_WITH_OWN_BODY_LIMIT = ("portal-api",)

FORM_RENDERER = "django.forms.renderers.Jinja2"
CSRF_FAILURE_VIEW = "backups_portal.ui.csrf_failure.refused"
DEFAULT_EXCEPTION_REPORTER_FILTER = "backups_portal.lib.exception_reporter.AddressHidingFilter"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        **dict.fromkeys(("default-src", "frame-ancestors", "base-uri"), (NONE,)),
        **dict.fromkeys(("script-src", "style-src", "font-src", "manifest-src"), (SELF,)),
        **dict.fromkeys(("connect-src", "form-action"), (SELF,)),
        "img-src": [SELF, "data:"],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
