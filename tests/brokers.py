"""Messages that wait in a broker."""

from django.conf import settings
from kombu import Connection


def waiting_messages(broker: Connection) -> int:
    """Count waiting messages of every priority: each has its own key in Redis."""
    with broker.channel() as channel:
        return sum(
            channel.queue_declare(queue=queue.name).message_count
            for queue in settings.CELERY_TASK_QUEUES
        )
