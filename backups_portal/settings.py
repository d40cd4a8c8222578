"""Every setting of the portal, read once and typed; nothing else reads the environment."""

import os
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django_guid.integrations import CeleryIntegration
from environ.fileaware_mapping import FileAwareMapping
from kombu import Exchange, Queue

BASE_DIR = Path(__file__).resolve().parent.parent


class _Environment(FileAwareMapping):
    """The environment, where NAME_FILE may name a file with the value of NAME."""

    def __getitem__(self, key: str) -> str:
        # An editor ends a file with a line break, which is no part of a password.
        return str(super().__getitem__(key)).strip()


env = environ.Env()
env.ENVIRON = _Environment()
if (BASE_DIR / ".env").is_file():
    env.read_env(BASE_DIR / ".env")


def required(name: str, cure: str) -> str:
    """The value of a setting that has no safe default.

    Raises:
        ImproperlyConfigured: the variable is missing or empty; the message names the cure.
    """
    value = env.str(name, default="")
    if not value:
        raise ImproperlyConfigured(f"{name} is not set. {cure}")
    return value


DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = required(
    "SECRET_KEY", "Set it to 50 or more random characters, or start with `python manage.py demo`."
)
# 32 bytes as 64 hex digits: hashes tokens, and encrypts tokens and database passwords.
INSTALLATION_KEY = required(
    "INSTALLATION_KEY",
    "Make one with `python -c 'import secrets; print(secrets.token_hex(32))'` and keep it safe: "
    "without it no token and no project database can be opened.",
)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
# The one that messages name.
HOST = (ALLOWED_HOSTS or ["localhost"])[0].lstrip(".")
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
SECURE_COOKIES = env.bool("SECURE_COOKIES", default=True)

INSTALLED_APPS = [
    # In front of Django's: its changepassword is in the audit log.
    "backups_portal.accounts",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "csp",
    "django_guid",
    "django_htmx",
    "qsessions",
    "backups_portal.lib",
    "backups_portal.audit",
    "backups_portal.billing",
    "backups_portal.projects",
    "backups_portal.demo",
    "snapshots",
    "restores",
    "backups_portal.transfers",
    "backups_portal.notifications",
]

# A request has an id, its own or a proxy's, which the lines of the log and the tasks that it sends
# have too.
DJANGO_GUID = {
    "GUID_HEADER_NAME": "X-Request-ID",
    "EXPOSE_HEADER": False,
    "INTEGRATIONS": [CeleryIntegration()],
}

MIDDLEWARE = [
    "django_guid.middleware.guid_middleware",
    "backups_portal.lib.client_address.ClientAddressMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "backups_portal.ui.compression.PageCompressionMiddleware",
    "csp.middleware.CSPMiddleware",
    "backups_portal.accounts.middleware.SeenSessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "backups_portal.lib.bodies.BodyLimitMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "backups_portal.accounts.middleware.AccountRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "backups_portal.ui.live.LivePartsMiddleware",
    "backups_portal.ui.zones.ViewersZoneMiddleware",
]

ROOT_URLCONF = "backups_portal.urls"
WSGI_APPLICATION = "backups_portal.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "backups_portal.lib.pulse.workers",
            ],
            "builtins": ["backups_portal.ui.templatetags.portal"],
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    ["django.template.loaders.filesystem.Loader"],
                )
            ],
        },
    },
    {
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "NAME": "jinja",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {"environment": "backups_portal.ui.jinja.environment", "auto_reload": DEBUG},
    },
]
FORM_RENDERER = "django.forms.renderers.Jinja2"

DATABASES = {
    "default": {
        **env.db_url_config(
            required(
                "DATABASE_URL",
                "Name the portal's own PostgreSQL database, such as "
                "postgresql://user:password@host:5432/backups_portal, "
                "or start with `python manage.py demo`.",
            )
        ),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        # What lib/compiled.py asks is planned at the first time, for as long as the connection is.
        "OPTIONS": {"prepare_threshold": 0},
    }
}
# Where new project databases are made when no server is registered yet.
PROJECT_DATABASE_URL = env.str("PROJECT_DATABASE_URL", default="") or env.str("DATABASE_URL")

SESSION_ENGINE = "qsessions.backends.db"
AUTH_USER_MODEL = "accounts.Account"
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "projects"
LOGOUT_REDIRECT_URL = "sign-in"
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
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = env.path("STATIC_ROOT", default=str(BASE_DIR / "staticfiles"))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = True

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=SECURE_COOKIES)
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000 if SECURE_COOKIES else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_HSTS_SECONDS > 0
# The sign-in and health pages answer before a proxy's header is trusted.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
BEHIND_PROXY = env.bool("BEHIND_PROXY", default=False)
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# How many proxies append to X-Forwarded-For, the last at the portal's door; 0: none is believed.
PROXY_HOPS = env.int("PROXY_HOPS", default=int(BEHIND_PROXY))
X_FRAME_OPTIONS = "DENY"

REDIS_URL = required(
    "REDIS_URL", "Name the Redis server, such as redis://host:6379/0, or start with the demo."
)
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
# What is short and must not wait behind backups of hours: a worker with `-Q system` takes nothing
# else, one without -Q takes both.
SYSTEM_QUEUE = "system"
CELERY_TASK_DEFAULT_QUEUE = "celery"
CELERY_TASK_QUEUES = [
    Queue(name, Exchange(name), routing_key=name)
    for name in (CELERY_TASK_DEFAULT_QUEUE, SYSTEM_QUEUE)
]
# By name, with the most seconds that each may take: none keeps the others waiting for ever.
SYSTEM_TASKS = {
    "backups_portal.ops.tasks.tick": 300,
    "backups_portal.ops.tasks.begin_sweep": 50,
    "backups_portal.ops.tasks.look_at_servers": 50,
    "backups_portal.ops.tasks.look_at_storage": 50,
    "backups_portal.ops.tasks.look_at_copies": 50,
    "backups_portal.accounts.tasks.send_reset_link": 50,
}
CELERY_TASK_ROUTES = {name: {"queue": SYSTEM_QUEUE} for name in SYSTEM_TASKS}
# Without a sign of life for so long the pages say that the workers are offline.
WORKERS_SILENT_AFTER = timedelta(minutes=2)
# The same for the schedule's ticks and for the storage, to /readyz and /metrics.
SIGNS_SILENT_AFTER = timedelta(minutes=5)
# Who may read /metrics: whoever sends this as a bearer token. Empty: nobody.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
CELERY_BEAT_SCHEDULER = "backups_portal.lib.steady.SteadyScheduler"
CELERY_BEAT_SCHEDULE = {
    "tick": {"task": "backups_portal.ops.tasks.tick", "schedule": 60.0, "options": {"expires": 55}},
    # A task of its own: a server that is away makes whoever asks it wait.
    "servers": {
        "task": "backups_portal.ops.tasks.look_at_servers",
        "schedule": 60.0,
        "options": {"expires": 55},
    },
    "storage": {
        "task": "backups_portal.ops.tasks.look_at_storage",
        "schedule": 60.0,
        "options": {"expires": 55},
    },
    "copies": {
        "task": "backups_portal.ops.tasks.look_at_copies",
        "schedule": 60.0,
        "options": {"expires": 55},
    },
    # What nothing happens to tell of: a backup that is missing, a restored project that runs on.
    "watch": {
        "task": "backups_portal.notifications.tasks.watch",
        "schedule": timedelta(minutes=15),
        "options": {"expires": 14 * 60},
    },
    "nightly": {"task": "backups_portal.ops.tasks.begin_sweep", "schedule": timedelta(hours=6)},
    "nightly-copies": {
        "task": "backups_portal.ops.tasks.clean_copies",
        "schedule": timedelta(hours=6),
    },
}

# file:///absolute/folder, or another URL that obstore understands.
SNAPSHOT_STORAGE = env.str("SNAPSHOT_STORAGE", default=f"file://{BASE_DIR / 'var' / 'snapshots'}")
# The key of a bucket, with which obstore does what it does by the process's environment.
if bucket_secret := env.str("AWS_SECRET_ACCESS_KEY", default=""):
    os.environ["AWS_SECRET_ACCESS_KEY"] = bucket_secret
# Where a copy of each snapshot goes, a URL with what opens it. Empty: there are no copies.
SNAPSHOT_COPY_STORAGE = env.str("SNAPSHOT_COPY_STORAGE", default="")
# What snapshots are encrypted with: `id:64 hex digits`, the key in use first, after commas the ones
# before it, and `plain` where objects from before the first key are read. Empty: not encrypted.
SNAPSHOT_MASTER_KEYS = env.str("SNAPSHOT_MASTER_KEYS", default="")
SNAPSHOT_READERS = env.int("SNAPSHOT_READERS", default=0)  # 0: one per core
RESTORE_LOADERS = env.int("RESTORE_LOADERS", default=0)  # 0: one per core
# After so long a snapshot, a restore or a proof is asked to end, and ended a minute later; the
# database server ends a single statement of theirs by itself.
TASK_LIMIT = timedelta(seconds=env.int("TASK_LIMIT_SECONDS", default=6 * 60 * 60))
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
    )
} | {name: {"time_limit": seconds} for name, seconds in SYSTEM_TASKS.items()}
# Within its lease (notifications/delivering.py), so that no two workers ever send the same one.
CELERY_TASK_ANNOTATIONS["backups_portal.notifications.tasks.deliver"] = {
    "soft_time_limit": 60,
    "time_limit": 90,
}
# Backups that fall due at once begin within so long, each project at its own moment of it.
SNAPSHOT_SPREAD = timedelta(seconds=env.int("SNAPSHOT_SPREAD_SECONDS", default=0))
# Proofs that wait or run at one time, beside the backups and restores of the same workers.
PROOFS_AT_ONCE = env.int("PROOFS_AT_ONCE", default=4)
SNAPSHOT_FULL_EVERY = timedelta(days=env.int("SNAPSHOT_FULL_EVERY_DAYS", default=28))
# After how many minutes a snapshot that failed is tried again, the first time, the second, …; on
# the same local day only. Empty: a failure is final.
SNAPSHOT_RETRY_MINUTES = env.list("SNAPSHOT_RETRY_MINUTES", cast=int, default=[5, 15, 45])
# The same for restores and the faults that pass by themselves: a server or the storage was away.
RESTORE_RETRY_MINUTES = env.list("RESTORE_RETRY_MINUTES", cast=int, default=[1, 5])
ORPHAN_GRACE = timedelta(hours=env.int("ORPHAN_GRACE_HOURS", default=24))
# How many records a mutable device may hold, by the API and by transfers; 0: any number.
MUTABLE_DEVICE_ROWS = env.int("MUTABLE_DEVICE_ROWS", default=0)
# Of one transaction: small enough to pause soon, large enough that a transaction costs nothing.
TRANSFER_BATCH_ROWS = env.int("TRANSFER_BATCH_ROWS", default=100_000)
LEASE = timedelta(seconds=env.int("LEASE_SECONDS", default=60))
DEFAULT_RETENTION_DAYS = 7
# For how long a project that was shut down can be started again.
PROJECT_GRACE = timedelta(days=env.int("PROJECT_GRACE_DAYS", default=7))

# Where the portal itself is: links in messages begin with it.
PORTAL_URL = (env.str("PORTAL_URL", default="") or f"https://{HOST}").rstrip("/")
# The mail server, such as smtp+tls://user:password@mail.example.com:587; empty: no messages.
vars().update(env.email_url_config(env.str("EMAIL_URL", default="") or "dummymail://"))
EMAIL_TIMEOUT = 20
# Whether webhooks and heartbeats may reach loopback, private and link-local addresses.
WEBHOOK_PRIVATE_ADDRESSES = env.bool("WEBHOOK_PRIVATE_ADDRESSES", default=False)
# After how many minutes a notification is sent again that did not arrive.
NOTIFICATION_RETRY_MINUTES = env.list(
    "NOTIFICATION_RETRY_MINUTES", cast=int, default=[1, 5, 30, 120]
)
DEFAULT_FROM_EMAIL = env.str("MAIL_FROM", default="") or f"backups-portal@{HOST}"

# The projects' API, which a process of its own serves: the base URL that clients are given.
API_URL = (env.str("API_URL", default="") or "http://localhost:8001").rstrip("/")
API_MAX_BODY_BYTES = env.int("API_MAX_BODY_MB", default=64) * 1_000_000
# Of each process, to the database of each project.
API_CONNECTIONS_PER_PROJECT = env.int("API_CONNECTIONS_PER_PROJECT", default=4)
# Of each process, to all projects together, when no request needs them.
API_IDLE_CONNECTIONS = env.int("API_IDLE_CONNECTIONS", default=16)
API_IDLE_SECONDS = env.int("API_IDLE_SECONDS", default=60)
API_WAIT_SECONDS = 15.0
# Of each token; 0: as many as come.
API_REQUESTS_PER_MINUTE = env.int("API_REQUESTS_PER_MINUTE", default=0)
# Clients that listen to events, in one process of the API: each keeps one of its threads.
API_EVENT_STREAMS = env.int("API_EVENT_STREAMS", default=3)

# The portal's own API at /api/v1/: requests of each token; 0: as many as come.
PORTAL_API_REQUESTS_PER_MINUTE = env.int("PORTAL_API_REQUESTS_PER_MINUTE", default=600)

CURRENCY = env.str("CURRENCY", default="USD")
PROJECT_CREATION_FEE = Decimal(env.str("PROJECT_CREATION_FEE", default="25.00"))
PROJECT_RUNNING_FEE_PER_HOUR = Decimal(env.str("PROJECT_RUNNING_FEE_PER_HOUR", default="0.068"))

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "backups_portal.lib.logs.LineFormatter"},
        "json": {"()": "backups_portal.lib.logs.FieldsFormatter"},
    },
    "filters": {
        "where": {"()": "backups_portal.lib.logs.WhereFilter"},
        "mask": {"()": "backups_portal.lib.accesslog.MaskingFilter"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": env.str("LOG_FORMAT", default="line"),
            "filters": ["where", "mask"],
        }
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django_guid": {"level": "WARNING"},
        # Here for whoever listens besides, as error trackers do.
        "django.request": {"filters": ["mask"]},
    },
}
