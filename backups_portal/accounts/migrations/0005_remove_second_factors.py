from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_accounts_are_allauths'),
    ]

    operations = [
        migrations.DeleteModel(
            name='RecoveryCode',
        ),
        migrations.DeleteModel(
            name='SecondFactor',
        ),
        # Of the library before: sessions end, and their keys with them.
        migrations.RunSQL("DROP TABLE IF EXISTS qsessions_session", migrations.RunSQL.noop),
    ]
