"""The ASGI application that the web server loads: `gunicorn backups_portal.asgi`."""

from django.conf import settings

from backups_portal.lib.wsgi_bridge import Bridge
from backups_portal.wsgi import application as pages

# Imported last: it needs the settings that wsgi loads.
from backups_portal.reader_lanes import lane_of  # isort: skip

application = Bridge(pages, threads=settings.REQUEST_THREADS, lane_of=lane_of)
