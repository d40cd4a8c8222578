-- Keeps everybody in this database from making or changing large objects, which are in no backup.
-- Those that are there can still be read, and removed. Functions of PostgreSQL are a superuser's,
-- so that only a superuser can close them; it is done in the database that others are copied from.
-- Repeatable.
DO $$
DECLARE
    function regprocedure;
BEGIN
    FOR function IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND proname IN (
            'lo_creat', 'lo_create', 'lo_from_bytea', 'lo_import', 'lo_put', 'lo_truncate',
            'lo_truncate64', 'lowrite')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', function);
    END LOOP;
END $$;
