"""Serve the projects' API: `gunicorn backups_portal.tagoio_api.asgi`."""

from django.conf import settings

from backups_portal.lib.wsgi_bridge import Bridge
from backups_portal.tagoio_api.wsgi import application as api

application = Bridge(api, threads=settings.REQUEST_THREADS)
