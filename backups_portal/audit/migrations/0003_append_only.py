"""Events are only ever added: a change or a removal is refused by the database itself."""

from django.db import migrations

REFUSE = """
CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'UPDATE' AND OLD.seal IS NULL
        AND to_jsonb(NEW) - 'seal' - 'position' = to_jsonb(OLD) - 'seal' - 'position'
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'The audit log is only ever added to.';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_auditevent
    FOR EACH ROW EXECUTE FUNCTION audit_append_only();
"""
ALLOW = """
DROP TRIGGER audit_append_only ON audit_auditevent;
DROP FUNCTION audit_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_sealed_events")]
    operations = [migrations.RunSQL(REFUSE, ALLOW)]
