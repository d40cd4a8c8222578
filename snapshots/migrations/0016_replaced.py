from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("snapshots", "0015_reader_leases"),
    ]

    operations = [
        migrations.AddField(
            model_name="snapshot",
            name="is_replaced",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.RemoveConstraint(
            model_name="snapshot",
            name="snapshot_once_per_local_date",
        ),
        migrations.AddConstraint(
            model_name="snapshot",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_replaced", False)),
                fields=("project", "local_date"),
                name="snapshot_once_per_local_date",
            ),
        ),
        migrations.AddConstraint(
            model_name="snapshot",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_replaced", True)),
                fields=("project", "local_date"),
                name="snapshot_replaced_once",
            ),
        ),
    ]
