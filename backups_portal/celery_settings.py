"""Celery settings that operators do not change: queues, task routes and the schedule."""

import sys
from datetime import timedelta

from kombu import Exchange, Queue

CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# In kB, by a process's peak. A large backup takes hundreds of megabytes, which Python does not give
# back, so its process is replaced after the task.
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 300_000
# Celery would close its connection to the portal's database after this many tasks, by default one:
# celery.py does so instead, according to CONN_MAX_AGE.
CELERY_DB_REUSE_MAX = sys.maxsize
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Keeps workers alive if Redis refuses a command, such as when it is out of memory.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
# In seconds. Without them, sending a message would wait forever for a Redis that hangs.
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5.0, "socket_connect_timeout": 5.0}
CELERY_TIMEZONE = "UTC"
# For short tasks that must not wait for hours of backups: a worker with `-Q system` takes nothing
# else, one without -Q takes both.
SYSTEM_QUEUE = "system"
CELERY_TASK_DEFAULT_QUEUE = "celery"
CELERY_TASK_QUEUES = [
    Queue(name, Exchange(name), routing_key=name)
    for name in (CELERY_TASK_DEFAULT_QUEUE, SYSTEM_QUEUE)
]
# Time limits by task, in seconds, so that none blocks the others forever.
SYSTEM_TASKS = {
    "backups_portal.ops.tasks.tick": 300,
    "backups_portal.ops.tasks.begin_sweep": 50,
    "backups_portal.ops.tasks.look_at_servers": 50,
    "backups_portal.ops.tasks.look_at_storage": 50,
    "backups_portal.ops.tasks.look_at_copies": 50,
    "backups_portal.ops.tasks.tidy_storage": 50,
    "backups_portal.ops.tasks.tidy_copies": 50,
    "backups_portal.accounts.tasks.send_reset_link": 50,
    "backups_portal.accounts.tasks.send_notice": 50,
    "backups_portal.objectives.tasks.check_objectives": 300,
}
# Celery's lowest priority on Redis, so that no backup waits for copies to a slow storage.
LOWEST_PRIORITY = 9
CELERY_TASK_ROUTES: dict[str, dict[str, str | int]] = {
    **{name: {"queue": SYSTEM_QUEUE} for name in SYSTEM_TASKS},
    "snapshots.tasks.copy_snapshot": {
        "queue": CELERY_TASK_DEFAULT_QUEUE,
        "priority": LOWEST_PRIORITY,
    },
}
CELERY_BEAT_SCHEDULER = "backups_portal.lib.monotonic.SteadyScheduler"
# Separate tasks, because an unreachable server makes its caller wait.
EACH_MINUTE = {
    "tick": "tick",
    "servers": "look_at_servers",
    "storage": "look_at_storage",
    "copies": "look_at_copies",
}
CELERY_BEAT_SCHEDULE = {
    **{
        name: {
            "task": f"backups_portal.ops.tasks.{task}",
            "schedule": 60.0,
            "options": {"expires": 55},
        }
        for name, task in EACH_MINUTE.items()
    },
    "objectives": {
        "task": "backups_portal.objectives.tasks.check_objectives",
        "schedule": 60.0,
        "options": {"expires": 55},
    },
    # For conditions without an event: a missing backup, a restored project that is still running.
    "watch": {
        "task": "backups_portal.notifications.tasks.watch",
        "schedule": timedelta(minutes=15),
        "options": {"expires": 14 * 60},
    },
    "sweep": {"task": "backups_portal.ops.tasks.begin_sweep", "schedule": timedelta(hours=6)},
    "sweep-copies": {
        "task": "backups_portal.ops.tasks.clean_copies",
        "schedule": timedelta(hours=6),
    },
}
