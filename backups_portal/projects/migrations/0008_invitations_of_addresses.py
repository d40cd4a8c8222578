"""An invitation is an address's, so that it does not say whether there is an account."""

from django.db import migrations, models
from django.db.models import F, OuterRef, Subquery
from django.db.models.functions import Lower


def fill_emails(apps, schema_editor):
    account = apps.get_model("accounts", "Account").objects.filter(pk=OuterRef("account_id"))
    emails = account.annotate(lowered=Lower(F("email"))).values("lowered")[:1]
    apps.get_model("projects", "Invitation").objects.update(email=Subquery(emails))


def find_accounts(apps, schema_editor):
    """Invitations of addresses without an account have no place in the older table."""
    account = apps.get_model("accounts", "Account").objects.filter(email__iexact=OuterRef("email"))
    invitations = apps.get_model("projects", "Invitation").objects
    invitations.update(account_id=Subquery(account.values("pk")[:1]))
    invitations.filter(account=None).delete()
    # What waits for the end of the transaction keeps the table from being changed.
    schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE")


class Migration(migrations.Migration):
    dependencies = [("projects", "0007_shorter_proof_policy"), ("accounts", "0003_access_tokens")]
    operations = [
        migrations.AddField("invitation", "email", models.EmailField(max_length=254, default="")),
        migrations.RemoveConstraint("invitation", "invitation_once"),
        migrations.AlterField(
            "invitation",
            "account",
            models.ForeignKey(
                "accounts.Account", models.CASCADE, related_name="invitations", null=True
            ),
        ),
        migrations.RunPython(fill_emails, find_accounts),
        migrations.RemoveField("invitation", "account"),
        migrations.AlterField("invitation", "email", models.EmailField(max_length=254)),
        migrations.AddConstraint(
            "invitation",
            models.UniqueConstraint(fields=["project", "email"], name="invitation_once"),
        ),
        migrations.AddIndex(
            "invitation", models.Index(fields=["email"], name="invitation_email")
        ),
    ]
