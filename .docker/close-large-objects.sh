#!/bin/sh
# Keeps projects from making large objects, which no backup contains; this needs a superuser. Run by
# the PostgreSQL image once, when its volume is empty, and by hand (.github/docs/operating.md) if an
# older version has already made databases.
set -eu
base=backups_portal_base
inside() { psql --username "${POSTGRES_USER:-postgres}" --quiet --set ON_ERROR_STOP=1 "$@"; }
inside --dbname=postgres <<SQL
SELECT 'CREATE DATABASE $base TEMPLATE template0 ENCODING ''UTF8'''
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '$base') \gexec
REVOKE CONNECT, TEMPORARY ON DATABASE $base FROM PUBLIC;
ALTER DATABASE $base IS_TEMPLATE true;
SQL
inside --dbname=postgres --tuples-only --no-align --command="SELECT datname FROM pg_database
    WHERE datallowconn AND (datname = '$base' OR datname ~ '^bp_')" |
    while read -r database; do
        inside --dbname="$database" --file=/large_objects.sql
    done
