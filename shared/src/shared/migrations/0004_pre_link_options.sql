-- What an owner may set of a link beyond its target, and further codes for it.

ALTER TABLE urls
    ADD COLUMN expires_at      timestamptz,
    ADD COLUMN max_clicks      bigint CHECK (max_clicks > 0),
    ADD COLUMN password_hash   text,
    ADD COLUMN redirect_status smallint CHECK (redirect_status IN (301, 302, 307, 308)),
    ADD COLUMN cache_seconds   integer CHECK (cache_seconds BETWEEN 0 AND 31536000),
    ADD COLUMN forward_query   boolean NOT NULL DEFAULT false,
    ADD COLUMN rules           jsonb,
    ADD COLUMN tags            text[] NOT NULL DEFAULT '{}',
    ADD COLUMN notes           text,
    ADD COLUMN archived_at     timestamptz;
COMMENT ON COLUMN urls.rules IS 'A JSON array of shared.events.Rule, in the order they are tried.';
COMMENT ON COLUMN urls.archived_at IS 'Set: left out of lists unless asked for; it still redirects.';

-- A code is either a link's own or an alias, never both.
CREATE TABLE url_aliases (
    domain_id  smallint NOT NULL DEFAULT 1 REFERENCES domains,
    short_code text COLLATE "C" NOT NULL CHECK (char_length(short_code) BETWEEN 1 AND 64),
    url_id     bigint NOT NULL REFERENCES urls ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain_id, short_code)
);
CREATE INDEX url_aliases_url ON url_aliases (url_id);

CREATE FUNCTION refuse_alias_as_code() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM url_aliases WHERE domain_id = NEW.domain_id AND short_code = NEW.short_code;
    IF FOUND THEN
        RAISE unique_violation USING MESSAGE = 'an alias has this code', CONSTRAINT = 'urls_code';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER refuse_alias_as_code BEFORE INSERT OR UPDATE OF short_code ON urls
    FOR EACH ROW EXECUTE FUNCTION refuse_alias_as_code();

-- Links are many and aliases few, so it is the alias that waits for links being written. A
-- transaction that adds one takes this lock before it writes to urls, or two of them deadlock.
CREATE FUNCTION refuse_code_as_alias() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    LOCK TABLE urls IN SHARE ROW EXCLUSIVE MODE;
    PERFORM FROM urls WHERE domain_id = NEW.domain_id AND short_code = NEW.short_code;
    IF FOUND THEN
        RAISE unique_violation
            USING MESSAGE = 'a link has this code', CONSTRAINT = 'url_aliases_pkey';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER refuse_code_as_alias BEFORE INSERT OR UPDATE OF short_code ON url_aliases
    FOR EACH ROW EXECUTE FUNCTION refuse_code_as_alias();

GRANT SELECT (expires_at, max_clicks, password_hash, redirect_status, cache_seconds,
              forward_query, rules)
    ON urls TO shortwire_redirector;
GRANT SELECT ON url_aliases, clicks_hourly TO shortwire_redirector;
GRANT SELECT, INSERT, UPDATE, DELETE ON url_aliases TO shortwire_management;
