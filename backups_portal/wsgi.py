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

# What is loaded by now stays, and pages leave few cycles behind. Looking through all of it every
# 700 objects made one page in twenty a quarter slower.
gc.freeze()
gc.set_threshold(50_000, 20, 50)
