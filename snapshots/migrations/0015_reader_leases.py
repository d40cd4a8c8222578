from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("snapshots", "0014_read_until"),
    ]

    operations = [
        migrations.AddField(
            model_name="snapshot",
            name="reader_leases",
            field=ArrayField(models.DateTimeField(), db_default=[], default=list, size=None),
        ),
    ]
