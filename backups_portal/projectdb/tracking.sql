-- Which chunk a moment belongs to, and the triggers that mark the chunks that change. Repeatable:
-- databases made by an older version get what is here by `upgrade_databases`, and making a trigger
-- waits for whoever is writing, so that no open transaction has marked by an older definition.
--
-- The trigger functions run with the rights of whoever made the database: a project's own role,
-- whose address its owner has, can neither write a mark nor take one away.

-- In whole microseconds, as dates are; the seconds since 1970 as a floating-point number are too
-- coarse for the last microsecond of a day in a far year. Infinity has no chunk, and is no time of
-- a variable.
CREATE OR REPLACE FUNCTION chunk_of(moment timestamptz) RETURNS integer
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (moment AT TIME ZONE 'UTC')::date - DATE '1970-01-01';

CREATE OR REPLACE FUNCTION mark_inserted() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO change_mark SELECT chunk_of(time), count(*) FROM new_rows GROUP BY 1;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION mark_deleted() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO change_mark SELECT chunk_of(time), -count(*) FROM old_rows GROUP BY 1;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION mark_updated() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO change_mark
    SELECT chunk, sum(change) FROM (
        SELECT chunk_of(time) AS chunk, -1 AS change FROM old_rows
        UNION ALL SELECT chunk_of(time), 1 FROM new_rows
    ) AS changes GROUP BY chunk;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION mark_truncated() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO change_mark VALUES (NULL, 0);
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER variable_inserted AFTER INSERT ON variable
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION mark_inserted();
CREATE OR REPLACE TRIGGER variable_deleted AFTER DELETE ON variable
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION mark_deleted();
CREATE OR REPLACE TRIGGER variable_updated AFTER UPDATE ON variable
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_updated();
CREATE OR REPLACE TRIGGER variable_truncated AFTER TRUNCATE ON variable
    FOR EACH STATEMENT EXECUTE FUNCTION mark_truncated();
