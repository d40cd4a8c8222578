"""What a web server loads to serve the projects' API: `gunicorn backups_portal.api.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

# Not setdefault: the demo and compose name the portal's settings for all of their processes.
os.environ["DJANGO_SETTINGS_MODULE"] = "backups_portal.api.settings"

application = get_wsgi_application()
