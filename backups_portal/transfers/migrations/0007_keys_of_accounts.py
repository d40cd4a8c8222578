"""Bind keys of requests to the account that sent them, whoever has the transfer now."""

import uuid

from django.db import migrations, models


def bind(apps, schema_editor):
    transfer = apps.get_model("transfers", "Transfer")
    rows = transfer.objects.order_by().values_list("pk", "requested_by", "request_key")
    for pk, account, key in rows.iterator():
        transfer.objects.filter(pk=pk).update(request_key=uuid.uuid5(key, str(account)))


class Migration(migrations.Migration):

    dependencies = [
        ("transfers", "0006_csv_request"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="transfer", name="transfer_key_unique_per_account"),
        migrations.RunPython(bind, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="transfer",
            name="request_key",
            field=models.UUIDField(default=uuid.uuid4, editable=False, unique=True),
        ),
    ]
