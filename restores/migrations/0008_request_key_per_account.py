"""Keys of requests are each account's own: nobody can use up another account's."""

import uuid

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("restores", "0007_failed"),
    ]

    operations = [
        migrations.AlterField(
            model_name="restore",
            name="request_key",
            field=models.UUIDField(default=uuid.uuid4, editable=False),
        ),
        migrations.AddConstraint(
            model_name="restore",
            constraint=models.UniqueConstraint(
                fields=("requested_by", "request_key"), name="restore_key_unique_per_account"
            ),
        ),
    ]
