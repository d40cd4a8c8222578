"""Serve the projects' API: `gunicorn backups_portal.tagoio_api.asgi`."""

from django.conf import settings

from backups_portal.lib.wsgi_bridge import Bridge
from backups_portal.tagoio_api.wsgi import application as api

# Imported last: it needs the settings that wsgi loads.
from backups_portal.tagoio_api.auth.project_token_auth import tenant_in  # isort: skip

# A project gets as many threads as connections: more would only wait for those.
application = Bridge(
    api,
    threads=settings.REQUEST_THREADS,
    tenant_of=tenant_in,
    each=settings.API_CONNECTIONS_PER_PROJECT,
)
