"""Transfers that are there count as asked for by their owners: no row is written."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('transfers', '0003_cause_and_request_key_per_account'),
    ]

    operations = [
        migrations.AddField(
            model_name='transfer',
            name='operator',
            field=models.CharField(blank=True, db_default='', default='', max_length=64),
        ),
    ]
