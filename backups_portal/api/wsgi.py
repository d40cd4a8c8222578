"""What a web server loads to serve the projects' API: `gunicorn backups_portal.api.wsgi`."""

import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

# Not setdefault: the demo and compose name the portal's settings for all of their processes.
os.environ["DJANGO_SETTINGS_MODULE"] = "backups_portal.api.settings"

application = get_wsgi_application()
# All addresses, so that the first request does not wait for them to load.
import_module(settings.ROOT_URLCONF)
