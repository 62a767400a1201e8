-- Links that begin later, and where visitors go once one is over.

ALTER TABLE urls
    ADD COLUMN starts_at   timestamptz,
    ADD COLUMN expired_url text CHECK (char_length(expired_url) <= 2048);
COMMENT ON COLUMN urls.starts_at IS 'Until then the link leads nowhere; before expires_at.';
COMMENT ON COLUMN urls.expired_url IS 'Where the link leads past expires_at or max_clicks.';

CREATE INDEX urls_scheduled ON urls (starts_at)
    WHERE deleted_at IS NULL AND starts_at IS NOT NULL;

GRANT SELECT (starts_at, expired_url) ON urls TO shortwire_redirector;
