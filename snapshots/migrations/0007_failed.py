"""Apart from the columns, and without keeping anybody from writing: all rows are looked at once."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    # Killed in the middle, it leaves an index, perhaps half of one: made again, it builds a new one.
    atomic = False

    dependencies = [
        ('snapshots', '0006_cause'),
    ]

    operations = [
        migrations.RunSQL('DROP INDEX CONCURRENTLY IF EXISTS snapshot_failed', migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name='snapshot',
            index=models.Index(condition=models.Q(('state', 'failed')), fields=['finished_at'], name='snapshot_failed'),
        ),
        migrations.RunSQL('DROP INDEX CONCURRENTLY IF EXISTS snapshotcopy_failed', migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name='snapshotcopy',
            index=models.Index(condition=models.Q(('state', 'failed')), fields=['finished_at'], name='snapshotcopy_failed'),
        ),
    ]
