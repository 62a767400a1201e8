-- A key may be for reading only. Two columns tell the scope, so that a release that knows only
-- is_admin goes on working beside a newer one.

ALTER TABLE api_keys
    ADD COLUMN is_read_only boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT api_keys_scope CHECK (NOT (is_admin AND is_read_only));
