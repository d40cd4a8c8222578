"""A constant default that stays in the database: no row is written, however many there are, and
what runs of the version before goes on while it is replaced."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('snapshots', '0005_copies'),
    ]

    operations = [
        migrations.AddField(
            model_name='snapshot',
            name='cause',
            field=models.CharField(blank=True, db_default='', default='', max_length=24),
        ),
        migrations.AddField(
            model_name='snapshotcopy',
            name='cause',
            field=models.CharField(blank=True, db_default='', default='', max_length=24),
        ),
    ]
