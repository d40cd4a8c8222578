"""Load the projects' API as a WSGI application, which asgi.py serves."""

import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from backups_portal.lib.startup import load_settings

# Not setdefault: the demo and compose name the portal's settings for all of their processes.
os.environ["DJANGO_SETTINGS_MODULE"] = "backups_portal.tagoio_api.settings"

load_settings()
application = get_wsgi_application()
# Import all routes now, so that the first request does not wait for them.
import_module(settings.ROOT_URLCONF)
