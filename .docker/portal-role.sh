#!/bin/sh
# Run once by the PostgreSQL image, when its volume is empty: the role and database of the portal.
set -eu
password=$(cat /run/secrets/database_password)
: "${password:?the password of the portal's role}"
psql --username "$POSTGRES_USER" --set ON_ERROR_STOP=1 --set password="$password" <<'SQL'
-- No superuser: making databases and roles is all that the portal needs.
CREATE ROLE backups_portal LOGIN CREATEDB CREATEROLE PASSWORD :'password';
-- To end the sessions of a database that is dropped.
GRANT pg_signal_backend TO backups_portal;
CREATE DATABASE backups_portal OWNER backups_portal;
-- Projects' roles may enter their own database only.
REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE postgres, template1 TO backups_portal;
SQL
