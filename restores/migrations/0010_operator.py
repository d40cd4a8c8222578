"""Restores that are there count as asked for by their owners: no row is written."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('restores', '0009_sought'),
    ]

    operations = [
        migrations.AddField(
            model_name='restore',
            name='operator',
            field=models.CharField(blank=True, db_default='', default='', max_length=64),
        ),
    ]
