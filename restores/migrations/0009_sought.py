"""Restores that are there were made for no rows in particular: no row is written."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('restores', '0008_request_key_per_account'),
    ]

    operations = [
        migrations.AddField(
            model_name='restore',
            name='sought',
            field=models.JSONField(null=True),
        ),
    ]
