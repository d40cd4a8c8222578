"""Tell of what happens from now on, and not of everything that the audit log has."""

from django.db import migrations

BEGIN = """
INSERT INTO notifications_cursor (id, position)
SELECT 1, coalesce(max(position), 0) FROM audit_auditevent;
"""


class Migration(migrations.Migration):
    dependencies = [("notifications", "0001_initial"), ("audit", "0003_append_only")]

    operations = [migrations.RunSQL(BEGIN, "DELETE FROM notifications_cursor;")]
