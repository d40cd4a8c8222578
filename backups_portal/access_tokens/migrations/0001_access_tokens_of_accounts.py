"""Take the API tokens of the app of accounts: their table as it is, and their content type."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.text
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


def rename_content_type(before, after):
    def rename(apps, schema_editor):
        types = apps.get_model('contenttypes', 'ContentType').objects
        types.filter(app_label=before, model='accesstoken').update(app_label=after)
    return rename


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0008_access_tokens_leave'),
        ('contenttypes', '0002_remove_content_type_name'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name='AccessToken',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('name', models.CharField(max_length=100)),
                        ('digest', models.BinaryField(max_length=32, unique=True)),
                        ('last_four', models.CharField(max_length=4)),
                        ('scopes', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=20), size=None)),
                        ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                        ('expires_at', models.DateTimeField(null=True)),
                        ('last_used_at', models.DateTimeField(null=True)),
                        ('revoked_at', models.DateTimeField(null=True)),
                        ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='access_tokens', to=settings.AUTH_USER_MODEL)),
                    ],
                    options={
                        'db_table': 'accounts_accesstoken',
                        'ordering': ['-created_at', '-id'],
                        'constraints': [models.UniqueConstraint(models.F('account'), django.db.models.functions.text.Lower('name'), condition=models.Q(('revoked_at', None)), name='access_token_name_unique_per_account'), models.CheckConstraint(condition=models.Q(('scopes__contained_by', ['projects:read', 'backups:read', 'backups:hold', 'records:read', 'evidence:read', 'restores:read', 'restores:write', 'transfers:read', 'transfers:write', 'settings:read', 'settings:write']), ('scopes__len__gte', 1)), name='access_token_has_known_scopes'), models.CheckConstraint(condition=models.Q(('name', ''), _negated=True), name='access_token_name_not_empty')],
                    },
                ),
            ],
        ),
        migrations.RunPython(
            rename_content_type('accounts', 'access_tokens'),
            rename_content_type('access_tokens', 'accounts'),
        ),
    ]
