-- Answers to requests that carried an Idempotency-Key, for a day. Neither keys nor requests are
-- kept: a hash of the key finds the row, and the fingerprint is a keyed hash.

CREATE TABLE idempotency_keys (
    key_hash    bytea PRIMARY KEY,
    fingerprint bytea NOT NULL,
    claimed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    status      smallint,
    headers     jsonb,
    body        bytea
);
COMMENT ON COLUMN idempotency_keys.status IS 'Null: the request is being carried out.';
CREATE INDEX idempotency_keys_age ON idempotency_keys (claimed_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO shortwire_management;
