"""Run the demo once Django is loaded: migrate, seed, serve, watch."""

import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from io import StringIO

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from backups_portal.demo.child_processes import Child, start
from backups_portal.demo.data_folder import DataFolder, write_whole
from backups_portal.demo.demo_accounts import PEOPLE, demo_password, ensure_account
from backups_portal.demo.demo_json import Describer
from backups_portal.demo.embedded_servers import Services
from backups_portal.demo.errors import DemoError
from backups_portal.demo.forked_program import fork, prepare_to_fork
from backups_portal.demo.forked_work import run_forked
from backups_portal.demo.options import Options
from backups_portal.demo.ports import LOOPBACK, PORTAL_HOST, api_port
from backups_portal.demo.process_readiness import wait_until_ready
from backups_portal.demo.programs import portal_programs
from backups_portal.demo.run_story import tell
from backups_portal.demo.seed import NEXT_START, seed
from backups_portal.demo.system_user import Say
from backups_portal.projects.models import DatabaseServer
from backups_portal.projects.servers import DEFAULT_NAME, register_server
from snapshots.engine.storage import place_of

WATCH_SECONDS = 0.25
DESCRIBE_SECONDS = 2.0


def serve(options: Options, folder: DataFolder, services: Services, say: Say) -> int:
    """Bring the portal up and watch it until a signal ends it.

    Raises:
        DemoError: a process ended by itself.
        Stopped: a signal arrived.
    """
    # Setup takes 200 MB, which this long-lived process should not keep.
    run_forked(partial(_set_up, options, services, say))
    with ExitStack() as stack:
        children = start_portal(options.port, folder, stack)
        wait_until_ready(options.port, children)
        if options.story:
            tell(say, options.data)
            return 0
        describer = Describer(
            base_url=f"http://{PORTAL_HOST}:{options.port}",
            api_url=f"http://{LOOPBACK}:{api_port(options.port)}",
            database_url=services.database_url,
            redis_url=services.redis_url,
        )
        write_description(describer, folder)
        say(banner(options, folder))
        watch([*services.children, *children], describer, folder)
    return 0


def _set_up(options: Options, services: Services, say: Say) -> None:
    prepare(services, say)
    if not options.empty and not options.story:
        seed(say)


def prepare(services: Services, say: Say) -> None:
    """Migrate, collect static files, and create the accounts.

    Raises:
        DemoError: a setting is wrong.
    """
    try:
        call_command("check", stdout=StringIO())
    except CommandError as error:
        raise DemoError(str(error)) from error
    with ThreadPoolExecutor(max_workers=1) as executor:
        # Compressing styles takes seconds, but in C, so a thread can run during the migrations.
        collected = executor.submit(call_command, "collectstatic", verbosity=0, interactive=False)
        call_command("migrate", verbosity=0, interactive=False)
        collected.result()
    if services.children and DatabaseServer.objects.filter(name=DEFAULT_NAME).exists():
        # Its port may have changed since it was registered.
        register_server(DEFAULT_NAME, services.database_url)
        try:
            call_command("upgrade_databases", stdout=StringIO())
        except CommandError as error:
            # Another server may be away, and the portal runs without it.
            say(f"{error}\n{NEXT_START}")
    for person in PEOPLE:
        ensure_account(person)


def start_portal(port: int, folder: DataFolder, stack: ExitStack) -> list[Child]:
    """Start the portal's processes; the stack stops them all at once."""
    children: list[Child] = []
    stack.callback(stop_all, children)
    programs = {program.name: program for program in portal_programs(port, folder)}
    # The API has its own settings and loads the code itself, while this process loads it for forks.
    children.append(start(programs.pop("api"), folder))
    if sys.platform == "linux":
        prepare_to_fork()
    # Forks of a process that has used the system's libraries are not safe on macOS.
    begin = fork if sys.platform == "linux" else start
    children.extend(begin(program, folder) for program in programs.values())
    return children


def stop_all(children: Sequence[Child]) -> None:
    """Ask all processes to stop, then wait for each."""
    for child in children:
        child.ask_to_stop()
    for child in children:
        child.stop()


def watch(children: Sequence[Child], describer: Describer, folder: DataFolder) -> None:
    """Keep the description current until a process ends by itself.

    Raises:
        DemoError: a process ended.
    """
    described = time.monotonic()
    while True:
        time.sleep(WATCH_SECONDS)
        for child in children:
            child.check()
        if time.monotonic() - described > DESCRIBE_SECONDS:
            write_description(describer, folder)
            described = time.monotonic()


def write_description(describer: Describer, folder: DataFolder) -> None:
    """Write demo.json if it has changed."""
    file = folder.path / "demo.json"
    try:
        text = json.dumps(describer.describe(), indent=2) + "\n"
    except OperationalError:
        # The portal's database is shutting down or gone, which the next check reports.
        connection.close()
        return
    if not file.is_file() or file.read_text() != text:
        write_whole(file, text)


def _storage_line() -> str:
    is_encrypted = "encrypted" if settings.SNAPSHOT_MASTER_KEYS else "not encrypted in this demo"
    return f"  Backups    {place_of(settings.SNAPSHOT_STORAGE)}, {is_encrypted}\n"


def banner(options: Options, folder: DataFolder) -> str:
    """Format the lines that say where everything is and how to stop."""
    people = "\n".join(f"             {person.email:<26} {person.role}" for person in PEOPLE)
    return (
        f"\nBackups Portal is up.\n\n"
        f"  Open       http://{PORTAL_HOST}:{options.port}\n"
        f"  API        http://{LOOPBACK}:{api_port(options.port)}, "
        f"for the tokens in {folder.path / 'demo.json'}\n"
        f"  Sign in    password {demo_password()} for each of\n{people}\n"
        f"  Data       {folder.path} (logs in logs/, settings for commands in demo.env)\n"
        f"{_storage_line()}"
        f"  Stop       Ctrl-C; everything is kept for the next start\n"
    )
