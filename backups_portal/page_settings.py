"""Settings that operators do not change: middleware, and what pages may load."""

from csp.constants import NONE, SELF
from django_guid.integrations import CeleryIntegration

# Log lines of a request, and of the tasks it sends, carry its id, or the one a proxy has set.
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

# Ids follow these names in addresses; a UUID elsewhere may be a token, which logs mask.
NAMES_BEFORE_IDS = ("backups", "checks", "restores", "transfers")
# Their views refuse large bodies themselves, with answers for programs.
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
