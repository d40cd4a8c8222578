"""As in snapshots.0007: nobody is kept from writing."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    # Killed in the middle, it leaves an index, perhaps half of one: made again, it builds a new one.
    atomic = False

    dependencies = [
        ('restores', '0006_cause'),
    ]

    operations = [
        migrations.RunSQL('DROP INDEX CONCURRENTLY IF EXISTS proof_failed', migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name='proof',
            index=models.Index(condition=models.Q(('state__in', ['failed', 'given_up'])), fields=['finished_at'], name='proof_failed'),
        ),
        migrations.RunSQL('DROP INDEX CONCURRENTLY IF EXISTS restore_failed', migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name='restore',
            index=models.Index(condition=models.Q(('state', 'failed')), fields=['finished_at'], name='restore_failed'),
        ),
    ]
