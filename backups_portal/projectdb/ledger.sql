-- What transfers have done to this database. Each batch of a transfer is one transaction with its
-- row here, so that a run that was killed knows what it has done. Kept for undo and for the map of
-- old and new ids. Repeatable: databases made before transfers existed get it with their first one.

CREATE TABLE IF NOT EXISTS transfer_run (
    transfer_id uuid PRIMARY KEY,
    -- Of the database that the data came from.
    source_prefix text NOT NULL,
    -- Closed by undo: a worker that comes late writes no more.
    is_open boolean NOT NULL DEFAULT true,
    started_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS transfer_batch (
    transfer_id uuid NOT NULL REFERENCES transfer_run ON DELETE CASCADE,
    number integer NOT NULL,
    -- The rows that it added: numbered between these, and written by this transaction. A row that
    -- somebody changes later carries another xmin, which tells undo to leave it alone.
    first_id bigint NOT NULL,
    last_id bigint NOT NULL,
    xid xid NOT NULL,
    -- By device: rows and digests of what the batch was given, and what became of them.
    outcome jsonb NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (transfer_id, number)
);

-- Records that a transfer replaced, as they were.
CREATE TABLE IF NOT EXISTS transfer_replaced (
    transfer_id uuid NOT NULL REFERENCES transfer_run ON DELETE CASCADE,
    batch integer NOT NULL,
    series_id integer NOT NULL,
    time timestamptz NOT NULL,
    id bigint NOT NULL,
    created_at timestamptz NOT NULL,
    number_value double precision,
    text_value text,
    group_key text NOT NULL,
    location point,
    metadata json,
    -- The transaction that had written it; unknown of what older versions have replaced.
    xid xid
);
ALTER TABLE transfer_replaced ADD COLUMN IF NOT EXISTS xid xid;
CREATE INDEX IF NOT EXISTS transfer_replaced_batch ON transfer_replaced (transfer_id, batch);

-- Records of a batch that another transfer replaced, and brought back when it was undone: they are
-- the batch's again, by the transaction that brought them back.
CREATE TABLE IF NOT EXISTS transfer_returned (
    transfer_id uuid NOT NULL REFERENCES transfer_run ON DELETE CASCADE,
    number integer NOT NULL,
    xid xid NOT NULL
);
CREATE INDEX IF NOT EXISTS transfer_returned_batch ON transfer_returned (transfer_id, number);

-- Resources that a transfer made or replaced; of the kind device_settings, devices whose tags and
-- parameters it replaced.
CREATE TABLE IF NOT EXISTS transfer_resource (
    transfer_id uuid NOT NULL REFERENCES transfer_run ON DELETE CASCADE,
    kind text NOT NULL,
    id text COLLATE "C" NOT NULL,
    source_id text COLLATE "C" NOT NULL,
    -- The rows that it took the place of, by table; NULL where it is new. Of a device's settings, the
    -- tags, and the parameters of the keys that changed.
    replaced jsonb,
    -- By table: a digest of its rows as the transfer wrote them.
    written jsonb NOT NULL,
    PRIMARY KEY (transfer_id, kind, id)
);
