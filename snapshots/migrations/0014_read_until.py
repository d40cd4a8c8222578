from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("snapshots", "0013_places"),
    ]

    operations = [
        migrations.AddField(
            model_name="snapshot",
            name="read_until",
            field=models.DateTimeField(null=True),
        ),
    ]
