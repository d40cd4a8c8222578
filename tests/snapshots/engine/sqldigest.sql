-- The digest of snapshots/engine/digest.py, implemented independently on the server. Words are
-- bigint; anything that could overflow is computed as numeric.

CREATE FUNCTION pg_temp.wrap(n numeric) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT (CASE WHEN m >= 9223372036854775808 THEN m - 18446744073709551616 ELSE m END)::bigint
    FROM (SELECT mod(mod(n, 18446744073709551616) + 18446744073709551616, 18446744073709551616) AS m)
        AS wrapped
$$;
CREATE FUNCTION pg_temp.add(a bigint, b bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    'SELECT pg_temp.wrap(a::numeric + b::numeric)';
CREATE FUNCTION pg_temp.mul(a bigint, b bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    'SELECT pg_temp.wrap(a::numeric * b::numeric)';
CREATE FUNCTION pg_temp.shr(a bigint, n integer) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    'SELECT (a >> n) & ((1::bigint << (64 - n)) - 1)';
CREATE FUNCTION pg_temp.hex(text) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    $$SELECT ('x' || $1)::bit(64)::bigint$$;

CREATE FUNCTION pg_temp.mix(w bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    w := w # pg_temp.shr(w, 30);
    w := pg_temp.mul(w, pg_temp.hex('bf58476d1ce4e5b9'));
    w := w # pg_temp.shr(w, 27);
    w := pg_temp.mul(w, pg_temp.hex('94d049bb133111eb'));
    RETURN w # pg_temp.shr(w, 31);
END $$;

CREATE FUNCTION pg_temp.word(b bytea) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    state bigint := octet_length(b);
    block bytea;
BEGIN
    FOR i IN 0 .. (octet_length(b) + 7) / 8 - 1 LOOP
        block := substr(b || '\x00000000000000'::bytea, i * 8 + 1, 8);
        state := pg_temp.mix(pg_temp.add(
            state # pg_temp.hex(
                (SELECT string_agg(encode(substr(block, 9 - k, 1), 'hex'), '' ORDER BY k)
                 FROM generate_series(1, 8) AS k)),
            pg_temp.hex('9e3779b97f4a7c15')));
    END LOOP;
    RETURN state;
END $$;
CREATE FUNCTION pg_temp.word(v text) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    $$SELECT pg_temp.word(convert_to(v, 'UTF8'))$$;
CREATE FUNCTION pg_temp.word(v json) RETURNS bigint LANGUAGE sql AS 'SELECT pg_temp.word(v::text)';
CREATE FUNCTION pg_temp.word(v jsonb) RETURNS bigint LANGUAGE sql AS 'SELECT pg_temp.word(v::text)';
CREATE FUNCTION pg_temp.word(v uuid) RETURNS bigint LANGUAGE sql AS 'SELECT pg_temp.word(v::text)';
CREATE FUNCTION pg_temp.word(v boolean) RETURNS bigint LANGUAGE sql AS 'SELECT v::integer::bigint';
CREATE FUNCTION pg_temp.word(v bigint) RETURNS bigint LANGUAGE sql AS 'SELECT v';
CREATE FUNCTION pg_temp.word(v integer) RETURNS bigint LANGUAGE sql AS 'SELECT v::bigint';
CREATE FUNCTION pg_temp.word(v double precision) RETURNS bigint LANGUAGE sql AS
    $$SELECT pg_temp.hex(encode(float8send(v), 'hex'))$$;
CREATE FUNCTION pg_temp.word(v timestamptz) RETURNS bigint LANGUAGE sql AS
    'SELECT (extract(epoch FROM v) * 1000000)::bigint';

-- The term of one value in both lanes: its column's name gives a key and an odd factor.
CREATE FUNCTION pg_temp.term(name text, word bigint, OUT low bigint, OUT high bigint)
LANGUAGE plpgsql AS $$
BEGIN
    low := pg_temp.mix(pg_temp.add(
        coalesce(word, pg_temp.hex('a0761d6478bd642f')), pg_temp.hex(substr(md5(name), 1, 16))));
    high := pg_temp.mul(low, pg_temp.hex(substr(md5(name), 17, 16)) | 1);
END $$;
