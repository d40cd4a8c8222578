"""Adapt the portal's settings to the projects' API, which serves no pages.

No sessions, cookies or forms: a token in each request says everything, so that the portal's
middleware would only cost time.
"""

from backups_portal.settings import *  # noqa: F403 - the same settings but for what follows
from backups_portal.settings import API_MAX_BODY_BYTES

ROOT_URLCONF = "backups_portal.tagoio_api.urls"
WSGI_APPLICATION = "backups_portal.tagoio_api.wsgi.application"
MIDDLEWARE = [
    "django_guid.middleware.guid_middleware",
    "backups_portal.lib.client_address.ClientAddressMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "backups_portal.tagoio_api.middleware.ApiMiddleware",
    # Demanded by allauth, whose codes the API checks.
    "allauth.account.middleware.AccountMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
]
# The token says which project a request acts on, at whatever address it arrives.
ALLOWED_HOSTS = ["*"]
APPEND_SLASH = False
# A client that posts would be led to read, and has said its token in the open already.
SECURE_SSL_REDIRECT = False
DATA_UPLOAD_MAX_MEMORY_SIZE = API_MAX_BODY_BYTES
# Clients name as many variables, fields and tags as they like.
DATA_UPLOAD_MAX_NUMBER_FIELDS = None
