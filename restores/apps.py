"""The app, which tells retention what restores and proofs are reading."""

from django.apps import AppConfig


class RestoresConfig(AppConfig):
    """Restores and proofs of snapshots."""

    name = "restores"

    def ready(self) -> None:
        # Models are not loaded yet when this module is imported.
        from restores.snapshot_uses import snapshots_being_read
        from snapshots.retention.in_use import register_use

        register_use(snapshots_being_read)
