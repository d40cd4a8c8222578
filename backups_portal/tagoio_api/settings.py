"""Adapt the portal's settings to the projects' API, which serves no pages.

There are no sessions, cookies or forms: each request carries a token, so the portal's middleware
would only cost time.
"""

from backups_portal.settings import *  # noqa: F403 - the same settings except those below
from backups_portal.settings import API_MAX_BODY_BYTES

ROOT_URLCONF = "backups_portal.tagoio_api.urls"
WSGI_APPLICATION = "backups_portal.tagoio_api.wsgi.application"
MIDDLEWARE = [
    "django_guid.middleware.guid_middleware",
    "backups_portal.lib.client_address.ClientAddressMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "backups_portal.tagoio_api.middleware.ApiMiddleware",
    # Required by allauth, whose codes the API checks.
    "allauth.account.middleware.AccountMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
]
# The token says which project a request acts on, at whatever address it arrives.
ALLOWED_HOSTS = ["*"]
APPEND_SLASH = False
# A redirect turns a POST into a GET, and the token has already been sent in plain text by then.
SECURE_SSL_REDIRECT = False
DATA_UPLOAD_MAX_MEMORY_SIZE = API_MAX_BODY_BYTES
# Clients name as many variables, fields and tags as they like.
DATA_UPLOAD_MAX_NUMBER_FIELDS = None
