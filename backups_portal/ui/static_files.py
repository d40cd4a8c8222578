"""The static files of pages, as collected by `collectstatic`."""

from django.conf import settings
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage

from backups_portal.lib.loggers import get_logger

log = get_logger(__name__)


def report_missing_static_files() -> None:
    """Log an error if static files were not collected: no page can be shown.

    Otherwise each page only logs hundreds of lines, because error pages need the files, too.
    """
    files = staticfiles_storage
    if isinstance(files, ManifestFilesMixin) and files.read_manifest() is None:
        log.error(
            "no page can be shown without its static files: run `python manage.py collectstatic`",
            folder=settings.STATIC_ROOT,
        )
