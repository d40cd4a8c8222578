"""What waits in a broker."""

from django.conf import settings
from kombu import Connection


def waiting_messages(broker: Connection) -> int:
    """How many wait for a worker, of every priority: each has a key of its own in Redis."""
    with broker.channel() as channel:
        return sum(
            channel.queue_declare(queue=queue.name).message_count
            for queue in settings.CELERY_TASK_QUEUES
        )
