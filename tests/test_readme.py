"""Compare the README and the pages on settings and commands with the code."""

import ast
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands, load_command_class

from backups_portal.accounts.sign_in_limits import (
    ACCOUNT,
    ADDRESS,
    DOWNLOAD,
    PASSWORD_AGAIN,
    SIGN_IN,
)
from backups_portal.evidence.evidence_report import MAX_ROWS
from backups_portal.evidence.restore_history import MAX_RESTORES
from backups_portal.evidence.settings_history import MAX_CHANGES
from backups_portal.lib.asgi_client import BODY_SECONDS
from backups_portal.lib.gunicorn_worker import HEAD_SECONDS
from backups_portal.lib.wsgi_bridge import WAITING_THREADS
from backups_portal.notifications.delivery import KEPT
from backups_portal.notifications.messages import KINDS
from backups_portal.notifications.webhook_request import MAX_PAUSE
from backups_portal.notifications.webhook_request import SECONDS as WEBHOOK_SECONDS
from backups_portal.portal_api.result_pages import MAX_ITEMS
from backups_portal.portal_api.routes.backup_records import MAX_RECORDS
from backups_portal.portal_api.view_wrapper import MAX_BODY_BYTES
from backups_portal.tagoio_api.streams.events import MAX_KEPT, MAX_KEPT_BYTES
from snapshots.engine.bucket_settings import CONNECTION, RETRIES
from snapshots.engine.full_reread import MAX_COUNTED_ROWS

ROOT = Path(settings.BASE_DIR)
README = (ROOT / "README.md").read_text()
DOCS = ROOT / ".github" / "docs"
MAX_README_WORDS = 1200


def section(page: str, title: str) -> str:
    """Return the text below a heading of a page in .github/docs."""
    text = (DOCS / page).read_text().split(f"# {title}\n", 1)[1]
    return re.split(r"^#+ ", text, maxsplit=1, flags=re.MULTILINE)[0]


def first_column(text: str) -> set[str]:
    """Return the first words of a table's rows."""
    return set(re.findall(r"^\| `([\w]+)", text, flags=re.MULTILINE))


SETTINGS = (ROOT / "backups_portal" / "settings.py").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()
# Defaults that are computed: the code's expression, and the words of settings.md.
COMPUTED = {
    "PROJECT_DATABASE_URL": ("env.str('DATABASE_URL')", "`DATABASE_URL`"),
    "PROXY_HOPS": ("int(BEHIND_PROXY)", "same as `BEHIND_PROXY`"),
    "SECURE_SSL_REDIRECT": ("SECURE_COOKIES", "same as `SECURE_COOKIES`"),
    "SECURE_HSTS_SECONDS": ("31536000 if SECURE_COOKIES else 0", "a year if `SECURE_COOKIES=1`"),
    "STATIC_ROOT": ("str(BASE_DIR / 'staticfiles')", "`staticfiles/`"),
    "SNAPSHOT_STORAGE": (
        "(BASE_DIR / 'var' / 'snapshots').as_uri()",
        "`file://…/var/snapshots`",
    ),
    "PORTAL_URL": ("f'https://{_HOST}'", "`https://` and the first of `ALLOWED_HOSTS`"),
    "MAIL_FROM": (
        "f'backups-portal@{_HOST}'",
        "`backups-portal@` and the first of `ALLOWED_HOSTS`",
    ),
}
# Settings that compose does not pass on, with reasons.
NOT_PASSED = {
    "DEBUG": "it shows what went wrong to everybody",
    "STATIC_ROOT": "the image has the files",
}
# Compose's own defaults.
COMPOSED = {
    "BEHIND_PROXY": "1",
    "PROXY_HOPS": "1",
    "LOG_FORMAT": "json",
    "LIVENESS_PATH": "/tmp/alive",  # noqa: S108 - of a container's own
    "SNAPSHOT_STORAGE": "file:///var/lib/backups-portal/snapshots",
}


def reads() -> dict[str, ast.expr | None]:
    """Return the settings that are read from the environment, with their defaults."""
    found: dict[str, ast.expr | None] = {}
    for node in ast.walk(ast.parse(SETTINGS)):
        # `env.str("NAME", default="") or otherwise`: an empty value counts as missing.
        if isinstance(node, ast.BoolOp) and (name := name_of(node.values[0])):
            found[name] = node.values[1]
        elif (name := name_of(node)) and name not in found:
            (default,) = [key.value for key in node.keywords if key.arg == "default"] or [None]
            found[name] = default
    return found


def name_of(node: ast.AST) -> str:
    """Return the setting that a call reads; "" if it reads none."""
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="env")),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return name
    return ""


def shown(name: str, default: ast.expr | None) -> str:
    """Return a default as settings.md writes it."""
    if name in COMPUTED:
        source, words = COMPUTED[name]
        assert default is not None
        assert ast.unparse(default) == source, f"{name} is computed in another way now"
        return words
    written = plain(default)
    return f"`{written}`" if written else ""


def plain(default: ast.expr | None) -> str:
    """Return a default as written in the environment."""
    # Not literal_eval, which cannot compute 6 * 60 * 60.
    value = eval(ast.unparse(default), {}) if default is not None else ""  # noqa: S307 - our own
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(int(value)) if isinstance(value, bool) else str(value)


def rows() -> dict[str, str]:
    """Return the settings of the table in settings.md, with their documented defaults."""
    found = re.findall(
        r"^\| `(\w+)` \|([^|]*)\|", section("settings.md", "Settings"), flags=re.MULTILINE
    )
    return {name: default.strip() for name, default in found}


def test_every_setting_is_described_with_its_default() -> None:
    assert rows() == {name: shown(name, default) for name, default in reads().items()}


def test_the_settings_that_are_required_are_named() -> None:
    (sentence,) = re.findall(r"[^.]* (?:is|are) required", section("settings.md", "Settings"))
    wanted = re.findall(r'^(?:\w+ = )?env\.required\(\s*"(\w+)"', SETTINGS, flags=re.MULTILINE)
    assert re.findall(r"`(\w+)`", sentence) == wanted


def composed() -> dict[str, str | None]:
    """Return what compose passes to the portal's containers: a default, or None without one."""
    block = COMPOSE.split("environment: &environment\n", 1)[1].split("\nservices:", 1)[0]
    found: dict[str, str | None] = {}
    for name, value in re.findall(r"^    ([A-Z_]+):(.*)$", block, flags=re.MULTILINE):
        default = re.search(r"\$\{\w+:-(.*?)\}", value)
        fixed = value.strip().strip('"') if "$" not in value and "_FILE" not in name else None
        found[name.removesuffix("_FILE")] = default[1] if default else (fixed or None)
    return found


def test_compose_passes_every_setting_on() -> None:
    assert not {*rows(), *NOT_PASSED} - {*composed(), *NOT_PASSED}
    assert not {*composed()} & {*NOT_PASSED}
    # The object storage library reads these itself.
    assert {*composed()} - {*rows()} == {"AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_ENDPOINT_URL"}


def test_the_defaults_of_compose_are_the_same_but_for_those_named() -> None:
    ours = {
        name: "" if name in COMPUTED or name == "API_URL" else plain(default)
        for name, default in reads().items()
    }
    given = {name: value for name, value in composed().items() if value is not None}
    assert given == {**{name: ours[name] for name in given}, **COMPOSED}


def test_compose_has_secrets_in_files_only() -> None:
    """Such settings have a telling name, or are an address with a password."""
    secret = re.compile(
        r"KEY(S)?$|TOKEN$|PASSWORD$|SECRET|^(DATABASE|REDIS|EMAIL|.*_DATABASE)_URL$"
    )
    block = COMPOSE.split("environment: &environment\n", 1)[1].split("\nservices:", 1)[0]
    names = re.findall(r"^    ([A-Z_]+):", block, flags=re.MULTILINE)
    assert [n for n in names if secret.search(n) and not n.endswith("_FILE")] == []
    given = re.findall(r"_FILE: /run/secrets/(\w+)$", block, flags=re.MULTILINE)
    mounted = re.findall(r"^    - (\w+)$", COMPOSE.split("  secrets:\n")[1], flags=re.MULTILINE)
    assert sorted(given) == sorted(mounted[: len(given)])


def test_every_command_is_described() -> None:
    ours = {
        name
        for name, app in get_commands().items()
        if app.startswith(("backups_portal", "snapshots", "restores"))
    }
    # The demo has its own page.
    assert first_column(section("commands.md", "Commands")) == ours - {"demo"}


# Their parts, such as `snapshots diff`, have separate options.
WITH_PARTS = {"database_servers", "snapshots"}


def test_the_commands_that_print_no_json_are_named() -> None:
    page = section("commands.md", "Commands")
    (sentence,) = re.findall(r"^All but (.*) take `--json`", page, flags=re.MULTILINE)
    others = {name for name in first_column(page) - WITH_PARTS if "--json" not in usage(name)}
    assert set(re.findall(r"`(\w+)`", sentence)) == others


def usage(name: str) -> str:
    """Return a command's `--help`."""
    command = load_command_class(get_commands()[name], name)
    return command.create_parser("manage.py", name).format_help()


# A heartbeat reports stored backups, and the weekly digest is an e-mail.
NO_WEBHOOKS = {"snapshot.completed", "notifications.digest"}


def test_every_type_of_a_webhook_is_described() -> None:
    page = section("notifications.md", "Notifications")
    assert set(re.findall(r"`(\w+\.\w+)`", page)) == KINDS.keys() - NO_WEBHOOKS


IN_WORDS = {8: "eight", 10: "ten"}
MINUTE = timedelta(minutes=1)
NUMBERS = {
    "notifications.md": (
        f"not answered with 2xx within {IN_WORDS[int(WEBHOOK_SECONDS)]} seconds",
        f"down to every {IN_WORDS[MAX_PAUSE // MINUTE]} minutes",
        f"what was sent in the last {KEPT.days} days",
    ),
    "portal-api.md": (
        f"`limit` up to {MAX_ITEMS}, `next_page`",
        f"newest first, up to {MAX_RECORDS:,} a page",
        f"Bodies have at most {MAX_BODY_BYTES // 10**6} MB",
    ),
    "storage-and-keys.md": (
        f"up to {MAX_ROWS:,} of a list ({MAX_RESTORES:,} restores, {MAX_CHANGES:,} changes of",
        *(f"| `{name}` | `{value}` |" for name, value in RETRIES.items()),
        *(f"| `{name}` | `{CONNECTION[name]}` |" for name in ("read_timeout", "timeout")),
    ),
    "tagoio-clients.md": (f"({MAX_KEPT} events of up to {MAX_KEPT_BYTES // 1000} kB each)",),
    "operating.md": (f"up to {WAITING_THREADS} more that wait for slow clients",),
    "../SECURITY.md": (
        f"{SIGN_IN.tries} tries per account and address in a quarter of an hour",
        f"{ADDRESS.tries} per address, {ACCOUNT.tries} per account and hour",
        f"{PASSWORD_AGAIN.tries} tries in a quarter of an hour in a browser, {DOWNLOAD.tries} per",
        f"in {MAX_COUNTED_ROWS:,} more rows",
        f"headers have {HEAD_SECONDS:g} seconds and bodies {BODY_SECONDS:g}",
    ),
}


@pytest.mark.parametrize("page", NUMBERS)
def test_the_limits_of_a_page_are_those_of_the_code(page: str) -> None:
    text = (DOCS / page).read_text()
    assert [phrase for phrase in NUMBERS[page] if phrase not in text] == []


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= MAX_README_WORDS


@pytest.mark.parametrize(
    ("script", "ending"),
    [("smoke", "python manage.py demo"), ("run", "python -m pytest")],
)
def test_the_checks_find_their_command(script: str, ending: str) -> None:
    """Find the one line of the README that the script greps for and runs."""
    assert f"'{ending}$' README.md" in (ROOT / ".ci" / script).read_text()
    (command,) = [line for line in README.splitlines() if line.endswith(ending)]
    assert command.startswith("python3 -m venv --upgrade-deps .venv && .venv/bin/pip install ")
