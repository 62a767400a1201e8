-- Each service may do what it needs and no more. Roles belong to the whole server, so another
-- database of it may have made them already.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['shortwire_redirector', 'shortwire_management', 'shortwire_ingest']
    LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN', wanted);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION ensure_events_partition(timestamptz) FROM PUBLIC;

GRANT SELECT (id, domain_id, short_code, user_id, original_url, is_active, version, deleted_at)
    ON urls TO shortwire_redirector;

GRANT INSERT ON events TO shortwire_ingest;
GRANT USAGE ON SEQUENCE events_id_seq TO shortwire_ingest;
GRANT EXECUTE ON FUNCTION ensure_events_partition(timestamptz) TO shortwire_ingest;

GRANT SELECT ON domains, clicks_hourly TO shortwire_management;
GRANT SELECT, INSERT, UPDATE, DELETE ON users, urls, outbox TO shortwire_management;
GRANT SELECT, INSERT, UPDATE ON events TO shortwire_management;
GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public TO shortwire_management;
GRANT EXECUTE ON FUNCTION ensure_events_partition(timestamptz) TO shortwire_management;
