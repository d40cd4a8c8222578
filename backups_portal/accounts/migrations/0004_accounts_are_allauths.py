"""Hand confirmed addresses, authenticator apps and unused recovery codes to allauth's tables.

Nothing is opened: a secret stays sealed as it was, and of a code there is a keyed hash only. The
adapter tells them by their beginning (accounts/second_factor.py).
"""

import base64
from collections import defaultdict

from django.db import migrations


def hand_over(apps, schema_editor):
    Account = apps.get_model("accounts", "Account")
    EmailAddress = apps.get_model("account", "EmailAddress")
    Authenticator = apps.get_model("mfa", "Authenticator")
    EmailAddress.objects.bulk_create(
        (
            EmailAddress(user_id=pk, email=email.lower(), verified=True, primary=True)
            for pk, email in Account.objects.values_list("pk", "email").iterator()
        ),
        batch_size=1000,
        ignore_conflicts=True,
    )
    factors = apps.get_model("accounts", "SecondFactor").objects.filter(confirmed_at__isnull=False)
    codes = defaultdict(list)
    for code in apps.get_model("accounts", "RecoveryCode").objects.filter(used_at=None):
        digest = bytes(code.digest).hex()
        codes[code.account_id].append(f"hashed:{code.account_id}:{digest}")
    for factor in factors:
        sealed = base64.b64encode(bytes(factor.sealed)).decode()
        Authenticator.objects.create(
            user_id=factor.account_id,
            type="totp",
            created_at=factor.confirmed_at,
            data={"secret": f"sealed:{factor.account_id}:{sealed}"},
        )
        Authenticator.objects.create(
            user_id=factor.account_id,
            type="recovery_codes",
            created_at=factor.confirmed_at,
            # They were shown when they were made.
            data={
                "migrated_codes": codes[factor.account_id],
                "used_mask": 0,
                "viewed_at": factor.confirmed_at.timestamp(),
            },
        )


class Migration(migrations.Migration):

    dependencies = [
        ("accounts", "0003_access_tokens"),
        ("account", "0009_emailaddress_unique_primary_email"),
        ("mfa", "0003_authenticator_type_uniq"),
    ]

    operations = [migrations.RunPython(hand_over)]
