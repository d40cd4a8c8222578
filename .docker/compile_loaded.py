"""Compile what the portal loads, and nothing else: half of what packages bring is never loaded.

Python keeps what it compiles, here and not in a container, whose file system is read-only.
"""

import compileall
import pkgutil
from importlib import import_module
from pathlib import Path

import django

django.setup()
for package in ("backups_portal", "snapshots", "restores"):
    for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
        import_module(module.name)
# What these load depends on the command.
packages = Path(django.__file__).parents[1]
for package in ("celery", "kombu", "billiard", "gunicorn"):
    compileall.compile_dir(packages / package, quiet=2)
