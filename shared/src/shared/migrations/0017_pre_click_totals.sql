-- How often each link was clicked and when last, for lists in that order. What is written with the
-- clicks are notes, a row for each statement; every now and then they are added up.

CREATE TABLE url_clicks (
    url_id        bigint NOT NULL PRIMARY KEY,
    clicks        bigint NOT NULL DEFAULT 0,
    last_click_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE url_clicks IS
    'A row for each link, and for those that were purged. With click_notes it is the sum of '
    'clicks_hourly. Not columns of urls, whose indexes every count would have to be entered in.';

CREATE TABLE click_notes (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    noted_at timestamptz NOT NULL DEFAULT now(),
    url_ids  bigint[] NOT NULL,
    numbers  integer[] NOT NULL,
    moments  timestamptz[] NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE click_notes IS
    'Clicks that url_clicks lacks: of each link how many, and the last; fewer than none where an '
    'event was corrected.';
-- To compress what is deleted within a minute costs more than to write it.
ALTER TABLE click_notes
    ALTER COLUMN url_ids SET STORAGE EXTERNAL,
    ALTER COLUMN numbers SET STORAGE EXTERNAL,
    ALTER COLUMN moments SET STORAGE EXTERNAL;

-- At most a thousand links a row, so that what is added up at once is bounded, also of an import.
CREATE FUNCTION note_inserted_clicks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO click_notes (url_ids, numbers, moments)
    SELECT array_agg(url_id), array_agg(number), array_agg(latest)
      FROM (SELECT url_id, count(*)::integer AS number, max(at) AS latest,
                   row_number() OVER () / 1000 AS part
              FROM inserted
             WHERE event_type = 'redirect' AND url_id IS NOT NULL
             GROUP BY url_id) AS counted
     GROUP BY part;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_inserted_clicks AFTER INSERT ON events
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION note_inserted_clicks();

CREATE FUNCTION note_corrected_clicks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO click_notes (url_ids, numbers, moments)
    SELECT array_agg(url_id), array_agg(number), array_agg(at)
      FROM (SELECT url_id, sum(share)::integer AS number, at, row_number() OVER () / 1000 AS part
              FROM (SELECT url_id, at, -1 AS share FROM before
                     WHERE event_type = 'redirect' AND url_id IS NOT NULL
                    UNION ALL
                    SELECT url_id, at, 1 FROM after
                     WHERE event_type = 'redirect' AND url_id IS NOT NULL) AS shares
             GROUP BY url_id, at
            HAVING sum(share) <> 0) AS counted
     GROUP BY part;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_corrected_clicks AFTER UPDATE ON events
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION note_corrected_clicks();

-- Adds up to `most` notes to the totals once the oldest has waited for `least_age`, and returns how
-- many. One at a time: others return at once. Where the click that was last is taken back, what
-- was the last before is known by the hour.
CREATE FUNCTION add_up_clicks(least_age interval, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    added     integer;
    corrected bigint[];
    removed   timestamptz[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('add_up_clicks')) THEN RETURN 0; END IF;
    PERFORM FROM (SELECT noted_at FROM click_notes ORDER BY id LIMIT 1) AS oldest
      WHERE noted_at <= now() - least_age;
    IF NOT FOUND THEN RETURN 0; END IF;
    WITH taken AS (
        DELETE FROM click_notes
         WHERE id IN (SELECT id FROM click_notes ORDER BY id LIMIT most)
        RETURNING url_ids, numbers, moments
    ), sums AS (
        SELECT url_id, sum(number) AS clicks, max(at) FILTER (WHERE number > 0) AS latest,
               max(at) FILTER (WHERE number < 0) AS removed
          FROM taken, unnest(url_ids, numbers, moments) AS note (url_id, number, at)
         GROUP BY url_id
    ), summed AS (
        INSERT INTO url_clicks AS known (url_id, clicks, last_click_at)
        SELECT url_id, clicks, coalesce(latest, '-infinity') FROM sums ORDER BY url_id
            ON CONFLICT (url_id) DO UPDATE
               SET clicks = known.clicks + excluded.clicks,
                   last_click_at = greatest(known.last_click_at, excluded.last_click_at)
    )
    SELECT (SELECT count(*) FROM taken),
           array_agg(sums.url_id) FILTER (WHERE sums.removed IS NOT NULL),
           array_agg(sums.removed) FILTER (WHERE sums.removed IS NOT NULL)
      INTO added, corrected, removed
      FROM sums;
    UPDATE url_clicks
       SET last_click_at = coalesce(
               (SELECT max(hour) FROM clicks_hourly
                 WHERE clicks_hourly.url_id = gone.url_id AND clicks_hourly.clicks > 0),
               '-infinity')
      FROM unnest(corrected, removed) AS gone (url_id, at)
     WHERE url_clicks.url_id = gone.url_id AND url_clicks.last_click_at <= gone.at;
    RETURN added;
END
$$;
REVOKE ALL ON FUNCTION add_up_clicks(interval, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION add_up_clicks(interval, integer) TO shortwire_ingest;

-- A link that nobody clicked has its place in the order, too.
CREATE FUNCTION begin_url_clicks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO url_clicks (url_id) SELECT id FROM inserted ORDER BY id ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER begin_url_clicks AFTER INSERT ON urls
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION begin_url_clicks();

-- The triggers' locks keep clicks and links out until the end of this. Of clicks before it the hour
-- is told: to look at each would take the longer the more there are.
INSERT INTO url_clicks (url_id, clicks, last_click_at)
SELECT coalesce(urls.id, known.url_id), coalesce(known.clicks, 0), coalesce(known.latest, '-infinity')
  FROM urls
  FULL JOIN (SELECT url_id, sum(clicks) AS clicks, max(hour) FILTER (WHERE clicks > 0) AS latest
               FROM clicks_hourly GROUP BY url_id) AS known
    ON known.url_id = urls.id;
CREATE INDEX url_clicks_by_clicks ON url_clicks (clicks, url_id);
CREATE INDEX url_clicks_by_last_click ON url_clicks (last_click_at, url_id);

GRANT SELECT ON url_clicks TO shortwire_management;
