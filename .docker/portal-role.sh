#!/bin/sh
# Makes the portal's role and database; run by the PostgreSQL image once, when its volume is empty.
set -eu
password=$(cat /run/secrets/database_password)
: "${password:?database_password is empty}"
psql --username "$POSTGRES_USER" --set ON_ERROR_STOP=1 --set password="$password" <<'SQL'
-- Not a superuser: the portal only needs to create databases and roles.
CREATE ROLE backups_portal LOGIN CREATEDB CREATEROLE PASSWORD :'password';
-- To end the sessions of a database before dropping it.
GRANT pg_signal_backend TO backups_portal;
CREATE DATABASE backups_portal OWNER backups_portal;
-- Projects' roles may only connect to their own database.
REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE postgres, template1 TO backups_portal;
SQL
