"""Compile only the modules that the portal loads, half of those in its packages.

This happens in the image, because a container's file system is read-only.
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
# All of these packages, as the modules that they load depend on the command.
packages = Path(django.__file__).parents[1]
for package in ("celery", "kombu", "billiard", "gunicorn"):
    compileall.compile_dir(packages / package, quiet=2)
