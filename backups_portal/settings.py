"""Every setting of the portal, read once and typed; nothing else reads the environment.

Settings that operators do not change are in celery_settings, page_settings and sign_in_settings.
"""

import os
import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from backups_portal.celery_settings import *  # noqa: F403 - settings are names of a module
from backups_portal.celery_settings import SYSTEM_TASKS
from backups_portal.lib.addresses import (
    mail_server,
    object_storage,
    postgresql,
    redis_server,
    website,
)
from backups_portal.lib.crypto import Keyring, parse_master_keys
from backups_portal.lib.environment import Environment, checked
from backups_portal.lib.logs import log_settings
from backups_portal.page_settings import *  # noqa: F403 - settings are names of a module
from backups_portal.sign_in_settings import *  # noqa: F403 - settings are names of a module
from backups_portal.sign_in_settings import SIGN_IN_APPS, shared_cache, single_sign_on_app

BASE_DIR = Path(__file__).resolve().parent.parent
# A century, within which dates do not overflow.
MAX_DAYS = 36_500
MAX_HOURS = 24 * MAX_DAYS

env = Environment()
if (BASE_DIR / ".env").is_file():
    env.read_file(BASE_DIR / ".env")

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.required(
    "SECRET_KEY", "Set it to 50 or more random characters, or start with `python manage.py demo`."
)
# 32 bytes as 64 hex digits: hashes tokens, and encrypts tokens and database passwords.
INSTALLATION_KEY = env.required(
    "INSTALLATION_KEY",
    "Make one with `python -c 'import secrets; print(secrets.token_hex(32))'` and keep it safe: "
    "without it no token and no project database can be opened.",
)
try:
    Keyring.from_hex(INSTALLATION_KEY)
except ValueError:
    raise ImproperlyConfigured(
        "INSTALLATION_KEY is not 64 hex digits. Put back the one that this portal was set up with."
    ) from None
ALLOWED_HOSTS = env.list(
    "ALLOWED_HOSTS", cast=website.allowed_host, default=["localhost", "127.0.0.1", "[::1]"]
)
SECURE_COOKIES = env.bool("SECURE_COOKIES", default=True)

INSTALLED_APPS = [
    # Before Django's auth, whose changepassword it replaces by one that is in the audit log.
    "backups_portal.accounts",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "csp",
    "django_guid",
    "django_htmx",
    *SIGN_IN_APPS,
    "backups_portal.ui",
    "backups_portal.access_tokens",
    "backups_portal.audit",
    "backups_portal.billing",
    "backups_portal.projects",
    *("snapshots", "restores"),
    "backups_portal.objectives",
    "backups_portal.transfers",
    "backups_portal.replaced_ids",
    "backups_portal.evidence",
    "backups_portal.notifications",
]

ROOT_URLCONF = "backups_portal.urls"
WSGI_APPLICATION = "backups_portal.wsgi.application"

# Every page uses Jinja; Django's own language is for the templates of other packages.
CONTEXT_PROCESSORS = [
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "environment": "backups_portal.ui.jinja_environment.environment",
            "auto_reload": DEBUG,
            "context_processors": [*CONTEXT_PROCESSORS, "backups_portal.lib.liveness.workers"],
        },
    },
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": CONTEXT_PROCESSORS},
    },
]

env.required(
    "DATABASE_URL",
    "Name the portal's own PostgreSQL database, such as "
    "postgresql://user:password@host:5432/backups_portal, or start with `python manage.py demo`.",
)
_DATABASE = env.address("DATABASE_URL", postgresql.django_database)
DATABASES = {
    "default": {
        **_DATABASE,
        # Applies our settings to each new session; see lib/pgsession.py.
        "ENGINE": "backups_portal.lib.postgresql",
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
}
# Where project databases are made while no server is registered.
PROJECT_DATABASE_URL = env.address(
    "PROJECT_DATABASE_URL", postgresql.normalized, default=env.str("DATABASE_URL")
)

AUTH_USER_MODEL = "accounts.Account"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
PASSWORD_RESET_TIMEOUT = 60 * 60
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
USE_I18N = False
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = env.str("STATIC_ROOT", default="") or str(BASE_DIR / "staticfiles")
STATICFILES_DIRS = [BASE_DIR / "static"]
# Pages use no static files of other packages, and compressing those takes seconds of each start.
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = True
# Pages use hashed names; files without a hash would be compressed as well.
WHITENOISE_KEEP_ONLY_HASHED_FILES = True

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=SECURE_COOKIES)
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000 if SECURE_COOKIES else 0)
# Only the operator knows whether all hosts of the domain have TLS, and browsers remember it long.
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD = env.bool("SECURE_HSTS_PRELOAD", default=False)
if SECURE_HSTS_PRELOAD and not SECURE_HSTS_INCLUDE_SUBDOMAINS:
    raise ImproperlyConfigured("SECURE_HSTS_PRELOAD=1 needs SECURE_HSTS_INCLUDE_SUBDOMAINS=1.")
# Django warns if the last two are off.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
BEHIND_PROXY = env.bool("BEHIND_PROXY", default=False)
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# How many proxies before the portal append to X-Forwarded-For; 0: the header is ignored.
PROXY_HOPS = env.int("PROXY_HOPS", default=int(BEHIND_PROXY))

env.required(
    "REDIS_URL", "Name the Redis server, such as redis://host:6379/0, or start with the demo."
)
_REDIS = env.address("REDIS_URL", redis_server.parse)
REDIS_URL = _REDIS.url
CACHES = {"default": shared_cache(REDIS_URL)}
CELERY_BROKER_URL = _REDIS.broker_url
# Celery prefers these to its settings, so another program's would send our tasks elsewhere.
for _name in ("BROKER_URL", "BROKER_READ_URL", "BROKER_WRITE_URL", "RESULT_BACKEND"):
    os.environ.pop(f"CELERY_{_name}", None)
CELERY_BROKER_USE_SSL = _REDIS.broker_ssl
# After this long without a sign of life, pages say that the workers are offline.
WORKERS_SILENT_AFTER = timedelta(minutes=2)
# The same for the schedule's ticks and probes of the storages, in /readyz and /metrics.
SIGNS_SILENT_AFTER = timedelta(minutes=5)
# A file that workers and beat touch every 20 seconds, for their container's health check.
LIVENESS_PATH = env.str("LIVENESS_PATH", default="")
# The bearer token of /metrics. Empty: nobody can read it.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")

# file:///absolute/folder, or another URL that obstore understands.
SNAPSHOT_STORAGE = env.address(
    "SNAPSHOT_STORAGE",
    object_storage.normalized,
    default=(BASE_DIR / "var" / "snapshots").as_uri(),
)
# The secret key of a bucket, which obstore reads from the process's environment.
if bucket_secret := env.str("AWS_SECRET_ACCESS_KEY", default=""):
    os.environ["AWS_SECRET_ACCESS_KEY"] = bucket_secret
# The storage for a copy of each snapshot, a URL with its keys. Empty: no copies.
SNAPSHOT_COPY_STORAGE = checked(
    "SNAPSHOT_COPY_STORAGE",
    lambda url: object_storage.normalized(url) if url else "",
    env.str("SNAPSHOT_COPY_STORAGE", default=""),
)
# The keys of snapshots, comma-separated `id:64 hex digits`: the key in use, then earlier ones, and
# `plain` to read objects from before the first key. Empty: not encrypted.
SNAPSHOT_MASTER_KEYS = env.str("SNAPSHOT_MASTER_KEYS", default="")
try:
    parse_master_keys(SNAPSHOT_MASTER_KEYS)
except ValueError as error:
    raise ImproperlyConfigured(f"SNAPSHOT_MASTER_KEYS: {error}.") from None
SNAPSHOT_READERS = env.int("SNAPSHOT_READERS", default=0)  # 0: one per core
RESTORE_LOADERS = env.int("RESTORE_LOADERS", default=0)  # 0: one per core
# After this long a snapshot, restore, proof or CSV file is told to stop, and killed a minute later;
# the database server itself cancels a single statement of theirs.
TASK_LIMIT = timedelta(seconds=env.int("TASK_LIMIT_SECONDS", default=6 * 60 * 60, least=1))
CELERY_TASK_ANNOTATIONS = {
    name: {
        "soft_time_limit": TASK_LIMIT.total_seconds(),
        "time_limit": TASK_LIMIT.total_seconds() + 60,
    }
    for name in (
        "snapshots.tasks.take_snapshot",
        "snapshots.tasks.copy_snapshot",
        "restores.tasks.run_restore",
        "restores.tasks.run_proof",
        "backups_portal.transfers.tasks.run_csv",
    )
} | {name: {"time_limit": seconds} for name, seconds in SYSTEM_TASKS.items()}
# Shorter than its lease (notifications/delivery.py), so that no two workers send the same one.
CELERY_TASK_ANNOTATIONS["backups_portal.notifications.tasks.deliver"] = {
    "soft_time_limit": 60,
    "time_limit": 90,
}
# Backups due at the same time are spread over this long, each project at its own offset.
SNAPSHOT_SPREAD = timedelta(seconds=env.int("SNAPSHOT_SPREAD_SECONDS", default=0))
# Proofs queued or running at a time, in addition to the workers' backups and restores.
PROOFS_AT_ONCE = env.int("PROOFS_AT_ONCE", default=4)
SNAPSHOT_FULL_EVERY = timedelta(days=env.int("SNAPSHOT_FULL_EVERY_DAYS", default=28, most=MAX_DAYS))
# Minutes before each retry of a failed snapshot, until the next one is due. Empty: a failure is
# final.
SNAPSHOT_RETRY_MINUTES = env.list("SNAPSHOT_RETRY_MINUTES", cast=int, default=[5, 15, 45])
# The same for restores after transient faults, such as an unreachable server or storage.
RESTORE_RETRY_MINUTES = env.list("RESTORE_RETRY_MINUTES", cast=int, default=[1, 5])
# Unfinished restores that one owner may have; 0: any number.
RESTORES_AT_ONCE = env.int("RESTORES_AT_ONCE", default=20)
ORPHAN_GRACE = timedelta(hours=env.int("ORPHAN_GRACE_HOURS", default=24, most=MAX_HOURS))
# Records that the API and transfers may store in a mutable device; 0: any number.
MUTABLE_DEVICE_ROWS = env.int("MUTABLE_DEVICE_ROWS", default=0)
# Rows per transaction: few enough to pause soon, many enough that the commit costs nothing.
TRANSFER_BATCH_ROWS = env.int("TRANSFER_BATCH_ROWS", default=100_000, least=1)
LEASE = timedelta(seconds=env.int("LEASE_SECONDS", default=60, least=1))
DEFAULT_RETENTION_DAYS = 7
# How long a project that was shut down can be started again.
PROJECT_GRACE = timedelta(days=env.int("PROJECT_GRACE_DAYS", default=7, most=MAX_DAYS))

# The portal's own address, with which links in messages begin.
_HOST = (ALLOWED_HOSTS or ["localhost"])[0].lstrip(".")
if "*" in ALLOWED_HOSTS:
    # Otherwise every visitor could choose where links in messages lead.
    for name in ("PORTAL_URL", "MAIL_FROM"):
        env.required(name, "ALLOWED_HOSTS=* accepts every host and names none, so set this too.")
PORTAL_URL = env.address("PORTAL_URL", website.base_url, default=f"https://{_HOST}")
# Always trust the portal's own address, even if a proxy uses another host name.
CSRF_TRUSTED_ORIGINS = [
    *env.list("CSRF_TRUSTED_ORIGINS", cast=website.origin, default=[]),
    website.origin_of(PORTAL_URL),
]
# The host that messages name.
HOST = urlsplit(PORTAL_URL).hostname or _HOST
# The mail server, such as smtp+tls://user:password@mail.example.com:587; empty: no messages.
vars().update(env.address("EMAIL_URL", mail_server.mail_settings))
EMAIL_TIMEOUT = 20
# Whether webhooks and heartbeats may reach loopback, private and link-local addresses.
WEBHOOK_PRIVATE_ADDRESSES = env.bool("WEBHOOK_PRIVATE_ADDRESSES", default=False)
# Minutes before each retry of a notification that was not delivered.
NOTIFICATION_RETRY_MINUTES = env.list(
    "NOTIFICATION_RETRY_MINUTES", cast=int, default=[1, 5, 30, 120]
)
DEFAULT_FROM_EMAIL = env.address("MAIL_FROM", mail_server.sender, default=f"backups-portal@{_HOST}")

# The provider of single sign-on by OpenID Connect. Empty: no single sign-on.
OIDC_PROVIDER_URL = checked(
    "OIDC_PROVIDER_URL",
    lambda url: website.base_url(url) if url else "",
    env.str("OIDC_PROVIDER_URL", default=""),
)
# The name on its button: “Continue with …”.
OIDC_NAME = env.str("OIDC_NAME", default="") or "single sign-on"
OIDC_CLIENT_ID = env.str("OIDC_CLIENT_ID", default="")
OIDC_CLIENT_SECRET = env.str("OIDC_CLIENT_SECRET", default="")
if OIDC_PROVIDER_URL and not (OIDC_CLIENT_ID and OIDC_CLIENT_SECRET):
    raise ImproperlyConfigured(
        "OIDC_PROVIDER_URL needs OIDC_CLIENT_ID and OIDC_CLIENT_SECRET: register the portal with "
        "the provider, and write in what it gives you."
    )
# The claim that contains an account's e-mail.
OIDC_EMAIL_CLAIM = env.str("OIDC_EMAIL_CLAIM", default="") or "email"
# Whether people whom only the provider knows get an account.
OIDC_CREATE_ACCOUNTS = env.bool("OIDC_CREATE_ACCOUNTS", default=False)
SOCIALACCOUNT_PROVIDERS = single_sign_on_app(
    name=OIDC_NAME, url=OIDC_PROVIDER_URL, client_id=OIDC_CLIENT_ID, secret=OIDC_CLIENT_SECRET
)
# Whether people can sign in with a password.
PASSWORD_SIGN_IN = env.bool("PASSWORD_SIGN_IN", default=True)
if not (PASSWORD_SIGN_IN or OIDC_PROVIDER_URL):
    raise ImproperlyConfigured("PASSWORD_SIGN_IN=0 needs OIDC_PROVIDER_URL: nobody could sign in.")

# The base URL of the projects' API, which a separate process serves.
API_URL = env.address("API_URL", website.base_url, default="http://localhost:8001")
API_MAX_BODY_BYTES = env.int("API_MAX_BODY_MB", default=64, least=1, most=100_000) * 1_000_000
# Per process and project database.
API_CONNECTIONS_PER_PROJECT = env.int("API_CONNECTIONS_PER_PROJECT", default=4, least=1)
# Per process, to all projects together, while no request uses them.
API_IDLE_CONNECTIONS = env.int("API_IDLE_CONNECTIONS", default=16)
API_IDLE_SECONDS = env.int("API_IDLE_SECONDS", default=60)
API_WAIT_SECONDS = 15.0
# Per token; 0: unlimited.
API_REQUESTS_PER_MINUTE = env.int("API_REQUESTS_PER_MINUTE", default=0)
# E-mails to one address each that a project's analyses may send in 24 hours; 0: none.
API_EMAILS_PER_DAY = env.int("API_EMAILS_PER_DAY", default=100)
# Clients that listen to events, per process of the API.
API_EVENT_STREAMS = env.int("API_EVENT_STREAMS", default=1000)

# Requests that a process of the portal or the API works on at a time.
REQUEST_THREADS = env.int("REQUEST_THREADS", default=8)

# Requests to the portal's own API at /api/v1/, per token; 0: unlimited.
PORTAL_API_REQUESTS_PER_MINUTE = env.int("PORTAL_API_REQUESTS_PER_MINUTE", default=600)

CURRENCY = env.str("CURRENCY", default="") or "USD"
if not re.fullmatch("[A-Z]{3}", CURRENCY):
    raise ImproperlyConfigured("CURRENCY must be three capital letters, such as USD.")
PROJECT_CREATION_FEE = env.decimal("PROJECT_CREATION_FEE", default="25.00", currency=CURRENCY)
PROJECT_RUNNING_FEE_PER_HOUR = env.decimal("PROJECT_RUNNING_FEE_PER_HOUR", default="0.068")

LOG_LEVEL = env.one_of("LOG_LEVEL", default="INFO", choices=LEVELS)
LOGGING = log_settings(
    LOG_LEVEL, env.one_of("LOG_FORMAT", default="line", choices=("line", "json"))
)
