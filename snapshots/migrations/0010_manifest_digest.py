from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('snapshots', '0009_index_what_is_listed'),
    ]

    operations = [
        migrations.AddField(
            model_name='snapshot',
            name='manifest_sha256',
            field=models.CharField(blank=True, db_default='', default='', max_length=64),
        ),
        migrations.AddField(
            model_name='snapshot',
            name='storage_note',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
    ]
