"""Apart from the columns, and without keeping anybody from writing: all rows are looked at once."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('snapshots', '0006_cause'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='snapshot',
            index=models.Index(condition=models.Q(('state', 'failed')), fields=['finished_at'], name='snapshot_failed'),
        ),
        AddIndexConcurrently(
            model_name='snapshotcopy',
            index=models.Index(condition=models.Q(('state', 'failed')), fields=['finished_at'], name='snapshotcopy_failed'),
        ),
    ]
