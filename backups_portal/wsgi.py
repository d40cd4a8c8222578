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

# What is loaded by now stays, and is not looked through again.
gc.freeze()
