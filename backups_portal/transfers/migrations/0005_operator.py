"""Transfers that are there count as asked for by their owners: no row is written."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('transfers', '0004_plain_labels'),
    ]

    operations = [
        migrations.AddField(
            model_name='transfer',
            name='operator',
            field=models.CharField(blank=True, db_default='', default='', max_length=64),
        ),
    ]
