"""Keys of requests are each account's own; a transfer that failed says why to programs, too."""

import uuid

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("transfers", "0002_pace"),
    ]

    operations = [
        migrations.AddField(
            model_name="transfer",
            name="cause",
            field=models.CharField(blank=True, db_default="", default="", max_length=24),
        ),
        migrations.AlterField(
            model_name="transfer",
            name="request_key",
            field=models.UUIDField(default=uuid.uuid4, editable=False),
        ),
        migrations.AddConstraint(
            model_name="transfer",
            constraint=models.UniqueConstraint(
                fields=("requested_by", "request_key"), name="transfer_key_unique_per_account"
            ),
        ),
    ]
