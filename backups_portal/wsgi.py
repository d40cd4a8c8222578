"""The portal as a WSGI application, which asgi.py serves."""

import gc
import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from backups_portal.lib.startup import load_settings
from backups_portal.ui.static_files import report_missing_static_files

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backups_portal.settings")

load_settings()
application = get_wsgi_application()
# Loads all pages, so that the first visitor does not wait.
import_module(settings.ROOT_URLCONF)
report_missing_static_files()

# Objects loaded by now stay. Pages leave only cycles to the collector, some 200 objects each.
# Collecting 50,000 at once held one page up for 30 to 90 ms; 5,000 take 3 to 9 ms.
gc.freeze()
gc.set_threshold(5_000, 20, 50)
