#!/usr/bin/env python
"""Entry point of every command of Backups Portal."""

import errno
import io
import os
import sys


def main() -> None:
    """Run a management command with the project's settings."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that is not UTF-8 shows “?” for a character that it does not have.
        sys.stdout.reconfigure(errors="replace")
    if sys.argv[1:2] == ["demo"]:
        # It makes the environment that the settings read, so it must run before them.
        from backups_portal.demo.bootstrap import main as demo

        sys.exit(demo(sys.argv[2:]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backups_portal.settings")
    _run()


def _run() -> None:
    """Run a command; end with a sentence if its database or its output fails."""
    from django.core.management import execute_from_command_line

    from backups_portal.lib import command_errors
    from backups_portal.lib.startup import load_settings

    load_settings()
    try:
        execute_from_command_line(sys.argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("backups-portal: stopped by Ctrl-C\n")
        # What a shell reports for it.
        sys.exit(130)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EPIPE):
            raise
        # What is still buffered would fail again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(f"backups-portal: cannot write: {error.strerror}")
    except command_errors.ERRORS as error:
        sentence = command_errors.in_a_sentence(error)
        if not sentence:
            raise
        sys.exit(f"backups-portal: {sentence}")


if __name__ == "__main__":
    main()
