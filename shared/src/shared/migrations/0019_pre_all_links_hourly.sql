-- All links' clicks and visitors together, by hour: to sum them up for a year took millions of rows
-- of clicks_hourly. A row that every statement adds to would make all writers wait for each other:
-- what is written with the clicks are notes, a row for each hour of a statement.

CREATE TABLE all_links_hourly (
    hour     timestamptz NOT NULL PRIMARY KEY,
    clicks   bigint NOT NULL,
    bots     bigint NOT NULL,
    previews bigint NOT NULL,
    visitors bigint NOT NULL
) WITH (fillfactor = 70);
COMMENT ON TABLE all_links_hourly IS
    'With hour_notes, read in the same statement, it is the sum of clicks_hourly and '
    'visitors_hourly over all links.';

CREATE TABLE hour_notes (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    noted_at timestamptz NOT NULL DEFAULT now(),
    hour     timestamptz NOT NULL,
    clicks   bigint NOT NULL DEFAULT 0,
    bots     bigint NOT NULL DEFAULT 0,
    previews bigint NOT NULL DEFAULT 0,
    visitors bigint NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE hour_notes IS
    'What all_links_hourly lacks; less than nothing where an event was corrected.';

-- Who stores, corrects or counts clicks writes to `events` first, in the same transaction: until
-- the end of this nobody does, and then everybody by the functions below. To lock the roll-ups
-- would be too late: who waits for them runs an old function already, which makes no such notes.
LOCK TABLE ONLY events IN SHARE ROW EXCLUSIVE MODE;

-- UTC's hours are the epoch's; date_trunc would look its zone up for every row.
CREATE OR REPLACE FUNCTION note_inserted_clicks() RETURNS trigger
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

    INSERT INTO hour_notes (hour, clicks, bots, previews)
    SELECT hour, sum(clicks), coalesce(sum(clicks) FILTER (WHERE bot <> 'preview'), 0),
           coalesce(sum(clicks) FILTER (WHERE bot = 'preview'), 0)
      FROM (SELECT date_bin('1 hour', at, 'epoch') AS hour, details ->> 'bot' AS bot,
                   count(*) AS clicks
              FROM inserted
             WHERE event_type = 'redirect' AND url_id IS NOT NULL
             GROUP BY 1, 2) AS counted
     GROUP BY hour;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION note_corrected_clicks() RETURNS trigger
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

    INSERT INTO hour_notes (hour, clicks, bots, previews)
    SELECT hour, clicks, bots, previews
      FROM (SELECT date_bin('1 hour', at, 'epoch') AS hour, sum(share) AS clicks,
                   coalesce(sum(share) FILTER (WHERE details ->> 'bot' <> 'preview'), 0) AS bots,
                   coalesce(sum(share) FILTER (WHERE details ->> 'bot' = 'preview'), 0) AS previews
              FROM (SELECT at, details, -1 AS share FROM before
                     WHERE event_type = 'redirect' AND url_id IS NOT NULL
                    UNION ALL
                    SELECT at, details, 1 FROM after
                     WHERE event_type = 'redirect' AND url_id IS NOT NULL) AS shares
             GROUP BY 1) AS counted
     WHERE (clicks, bots, previews) <> (0, 0, 0);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION count_visitors(
    url_ids bigint[], moments timestamptz[], visitors bigint[]
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    WITH candidates AS MATERIALIZED (
        SELECT (at AT TIME ZONE 'UTC')::date AS day, url_id, visitor,
               min(date_bin('1 hour', at, 'epoch')) AS hour
          FROM unnest(url_ids, moments, visitors) AS visit (url_id, at, visitor)
         GROUP BY 1, 2, 3
    ), added AS (
        INSERT INTO visitors_seen (day, url_id, visitor)
        SELECT day, url_id, visitor FROM candidates ORDER BY 1, 2, 3
            ON CONFLICT DO NOTHING
        RETURNING day, url_id, visitor
    ), sums AS MATERIALIZED (
        SELECT url_id, hour, count(*) AS number
          FROM added JOIN candidates USING (day, url_id, visitor)
         GROUP BY url_id, hour
    ), noted AS (
        INSERT INTO hour_notes (hour, visitors) SELECT hour, sum(number) FROM sums GROUP BY hour
    )
    INSERT INTO visitors_hourly AS known (url_id, hour, visitors)
    SELECT url_id, hour, number FROM sums ORDER BY url_id, hour
        ON CONFLICT (url_id, hour) DO UPDATE SET visitors = known.visitors + excluded.visitors;
END
$$;

-- Adds up to `most` notes to the sums of all links once the oldest has waited for `least_age`, and
-- returns how many. One at a time: others return at once.
CREATE FUNCTION add_up_hours(least_age interval, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    added integer;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('add_up_hours')) THEN RETURN 0; END IF;
    PERFORM FROM (SELECT noted_at FROM hour_notes ORDER BY id LIMIT 1) AS oldest
      WHERE noted_at <= now() - least_age;
    IF NOT FOUND THEN RETURN 0; END IF;
    WITH taken AS (
        DELETE FROM hour_notes
         WHERE id IN (SELECT id FROM hour_notes ORDER BY id LIMIT most)
        RETURNING hour, clicks, bots, previews, visitors
    ), summed AS (
        INSERT INTO all_links_hourly AS known (hour, clicks, bots, previews, visitors)
        SELECT hour, sum(clicks), sum(bots), sum(previews), sum(visitors)
          FROM taken
         GROUP BY hour
            ON CONFLICT (hour) DO UPDATE
               SET clicks = known.clicks + excluded.clicks, bots = known.bots + excluded.bots,
                   previews = known.previews + excluded.previews,
                   visitors = known.visitors + excluded.visitors
    )
    SELECT count(*) INTO added FROM taken;
    RETURN added;
END
$$;
REVOKE ALL ON FUNCTION add_up_hours(interval, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION add_up_hours(interval, integer) TO shortwire_ingest;

INSERT INTO all_links_hourly (hour, clicks, bots, previews, visitors)
SELECT hour, sum(clicks), sum(bots), sum(previews), sum(visitors)
  FROM (SELECT hour, clicks, bots, previews, 0 AS visitors FROM clicks_hourly
        UNION ALL
        SELECT hour, 0, 0, 0, visitors FROM visitors_hourly) AS hours
 GROUP BY hour;

GRANT SELECT ON all_links_hourly, hour_notes TO shortwire_management;
