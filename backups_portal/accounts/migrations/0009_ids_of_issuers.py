"""Bind the ids of people at a provider of single sign-on to its issuer."""

import hashlib

from django.db import migrations

LENGTH = 191


def bind(apps, schema_editor):
    for row in apps.get_model("socialaccount", "SocialAccount").objects.filter(provider="oidc"):
        issuer = ((row.extra_data or {}).get("id_token") or {}).get("iss")
        if issuer:
            uid = f"{issuer} {row.uid}"
            row.uid = uid if len(uid) <= LENGTH else hashlib.sha256(uid.encode()).hexdigest()
            row.save(update_fields=["uid"])


class Migration(migrations.Migration):

    dependencies = [
        ("accounts", "0008_access_tokens_leave"),
        ("socialaccount", "0006_alter_socialaccount_extra_data"),
    ]

    operations = [migrations.RunPython(bind, migrations.RunPython.noop)]
