"""Bind keys of requests to the account that sent them, whoever has the restore now."""

import uuid

from django.db import migrations, models


def bind(apps, schema_editor):
    restore = apps.get_model("restores", "Restore")
    rows = restore.objects.order_by().values_list("pk", "requested_by", "request_key")
    for pk, account, key in rows.iterator():
        restore.objects.filter(pk=pk).update(request_key=uuid.uuid5(key, str(account)))


class Migration(migrations.Migration):

    dependencies = [
        ("restores", "0012_indexes_due"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="restore", name="restore_key_unique_per_account"),
        migrations.RunPython(bind, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="restore",
            name="request_key",
            field=models.UUIDField(default=uuid.uuid4, editable=False, unique=True),
        ),
    ]
