"""The portal that gunicorn serves here: as it is deployed, but passwords are hashed quickly."""

from backups_portal.asgi import application
from tests.quick_hashing import hash_quickly

__all__ = ["application"]

hash_quickly()
