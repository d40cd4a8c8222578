"""Start the demo on a bare machine: services first, then Django.

No top-level import here loads Django, whose settings read the environment that is made here.
"""

import logging
import os
import secrets
import shlex
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from backups_portal.demo.data_folder import DataFolder, opened, write_whole
from backups_portal.demo.embedded_servers import Services, running
from backups_portal.demo.errors import DemoError, system_error
from backups_portal.demo.options import Options, add_arguments
from backups_portal.demo.ports import LOOPBACK, PORTAL_HOST, api_port, listen_error
from backups_portal.demo.shutdown_signals import Stopped, stop_on_signals
from backups_portal.lib import pgsession
from backups_portal.lib.addresses import postgresql, redis_server
from backups_portal.lib.addresses.url import AddressError


def main(arguments: Sequence[str]) -> int:
    """Run the demo with command-line arguments; return the exit code."""
    parser = ArgumentParser(
        prog="manage.py demo", description="Run the whole portal on this machine, with a story."
    )
    add_arguments(parser)
    return run(parser.parse_args(arguments, Options()))


def run(options: Options) -> int:
    """Run the demo until it stops; return 0, or 1 after printing an error."""
    try:
        with stop_on_signals():
            return _run(options)
    except Stopped:
        say("Stopped. Everything is kept; start it again to continue.")
        return 0
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)  # noqa: T201
    except OSError as error:
        print(f"demo: {system_error(error)}", file=sys.stderr)  # noqa: T201
    return 1


def say(line: str) -> None:
    """Print to the terminal."""
    print(line, flush=True)  # noqa: T201


def _run(options: Options) -> int:
    with opened(options.data_dir) as folder:
        _check_ports(options.port)
        with running(
            folder,
            database_url=os.environ.get("DATABASE_URL", ""),
            redis_url=os.environ.get("REDIS_URL", ""),
            durable=True,
            say=say,
        ) as services:
            _check(services)
            prepared = environment(folder, services, os.environ, port=options.port)
            write_whole(folder.path / "demo.env", shell_lines(prepared))
            os.environ.update(prepared)
            _load_django()
            # Setup reports its progress in sentences; the processes have log files.
            logging.getLogger().setLevel(logging.WARNING)
            from backups_portal.demo.demo_server import serve

            return serve(options, folder, services, say)


def _check_ports(first: int) -> None:
    for port in (first, api_port(first)):
        if reason := listen_error(port):
            raise DemoError(
                f"Port {port} cannot be used ({reason}), and the demo needs {first} and the one "
                "after it: choose another one with --port."
            )


def _load_django() -> None:
    """Load Django, now that the environment is complete."""
    import django
    from django.core.exceptions import ImproperlyConfigured

    from backups_portal.lib.startup import relax_garbage_collection

    relax_garbage_collection()
    try:
        django.setup()
    except ImproperlyConfigured as error:
        raise DemoError(str(error)) from error


def _check(services: Services) -> None:
    """Check that both servers respond, embedded or not."""
    try:
        url = postgresql.normalized(services.database_url)
        pgsession.connect(url, connect_timeout=5).close()
    except (psycopg.Error, AddressError) as error:
        raise DemoError(f"DATABASE_URL does not work: {str(error).strip()}") from error
    try:
        url = redis_server.parse(services.redis_url).url
        with Redis.from_url(url, socket_connect_timeout=5) as client:
            client.ping()
    except (RedisError, AddressError) as error:
        raise DemoError(f"REDIS_URL does not work: {error}") from error


def environment(
    folder: DataFolder, services: Services, given: Mapping[str, str], *, port: int
) -> dict[str, str]:
    """Return the settings of this demo as environment variables.

    This includes every setting that names an outside system, so that a .env file cannot point the
    demo at one.
    """
    storage = (folder.path / "snapshots").as_uri()
    folder.sub("static")
    return {
        "DJANGO_SETTINGS_MODULE": "backups_portal.settings",
        "SECRET_KEY": given.get("SECRET_KEY") or folder.keep("secret-key"),
        "INSTALLATION_KEY": given.get("INSTALLATION_KEY") or folder.keep("installation-key"),
        "DATABASE_URL": services.database_url,
        "PROJECT_DATABASE_URL": given.get("PROJECT_DATABASE_URL") or services.database_url,
        "REDIS_URL": services.redis_url,
        "SNAPSHOT_STORAGE": given.get("SNAPSHOT_STORAGE") or storage,
        "SNAPSHOT_MASTER_KEYS": given.get("SNAPSHOT_MASTER_KEYS", ""),
        "STATIC_ROOT": str(folder.path / "static"),
        "DEMO_PASSWORD": folder.keep("sign-in", lambda: secrets.token_urlsafe(9)),
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "CSRF_TRUSTED_ORIGINS": "",
        "DEBUG": "0",
        # The demo runs the checks once, because each worker would load every page for them.
        "CELERY_SKIP_CHECKS": "1",
        "SECURE_COOKIES": "0",
        "SECURE_SSL_REDIRECT": "0",
        "SECURE_HSTS_SECONDS": "0",
        "BEHIND_PROXY": "0",
        "PORTAL_URL": f"http://{PORTAL_HOST}:{port}",
        "OIDC_PROVIDER_URL": "",
        "PASSWORD_SIGN_IN": "1",
        "EMAIL_URL": given.get("EMAIL_URL", ""),
        # Somebody who tries webhooks runs the receiver on the same machine.
        "WEBHOOK_PRIVATE_ADDRESSES": "1",
        "API_URL": f"http://{LOOPBACK}:{api_port(port)}",
    }


def shell_lines(values: Mapping[str, str]) -> str:
    """Format variables as shell assignments."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
