"""As in snapshots.0006: no row is written, however many there are."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('restores', '0005_wanted_server'),
    ]

    operations = [
        migrations.AddField(
            model_name='proof',
            name='cause',
            field=models.CharField(blank=True, db_default='', default='', max_length=24),
        ),
        migrations.AddField(
            model_name='restore',
            name='cause',
            field=models.CharField(blank=True, db_default='', default='', max_length=24),
        ),
    ]
