#!/usr/bin/env python
"""Entry point of every command of Backups Portal."""

import os
import sys

NOT_OWNER = (
    "backups-portal: The portal's role cannot create tables in its database. Make it the owner: "
    "ALTER DATABASE name OWNER TO role."
)


def main() -> None:
    """Run a management command with the project's settings."""
    if sys.argv[1:2] == ["demo"]:
        # It makes the environment that the settings read, so it must run before them.
        from backups_portal.demo.bootstrap import main as demo

        sys.exit(demo(sys.argv[2:]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backups_portal.settings")
    from django.core.management import execute_from_command_line
    from django.db.migrations.exceptions import MigrationSchemaMissing

    from backups_portal.lib import database_outage
    from backups_portal.lib.startup import load_settings

    load_settings()
    try:
        execute_from_command_line(sys.argv)
    except database_outage.DJANGO_ERRORS as error:
        # In commands of Django, such as migrate; those of the portal say so themselves.
        sys.exit(f"backups-portal: {database_outage.outage_in_words(error)}")
    except MigrationSchemaMissing:
        sys.exit(NOT_OWNER)


if __name__ == "__main__":
    main()
