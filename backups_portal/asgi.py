"""What the web server loads: `gunicorn backups_portal.asgi`."""

from django.conf import settings

from backups_portal.lib.wsgi_bridge import Bridge
from backups_portal.wsgi import application as pages

application = Bridge(pages, threads=settings.REQUEST_THREADS)
