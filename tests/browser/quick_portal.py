"""The portal that gunicorn serves here: as deployed, except that password hashes are cheap."""

from backups_portal.asgi import application
from tests.quick_hashing import hash_quickly

__all__ = ["application"]

hash_quickly()
