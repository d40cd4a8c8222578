"""Leave API tokens to an app of their own, which takes their table as it is."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0007_evidence_scope'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.DeleteModel(name='AccessToken')],
        ),
    ]
