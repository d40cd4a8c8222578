"""The portal as a WSGI application, which asgi.py serves."""

import gc
import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from backups_portal.lib.startup import load_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backups_portal.settings")

load_settings()
application = get_wsgi_application()
# All pages, so that the first visitor does not wait for them to load.
import_module(settings.ROOT_URLCONF)

# What is loaded by now stays. Of what pages make, only cycles wait for the collector, some 200
# objects a page. 50,000 at once held one page up for 30 to 90 ms; 5,000 cost it 3 to 9.
gc.freeze()
gc.set_threshold(5_000, 20, 50)
