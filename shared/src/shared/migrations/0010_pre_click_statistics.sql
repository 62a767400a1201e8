-- Answers about clicks: programs apart from people, clicks by what they tell, visitors, and visits
-- to codes without a link.

ALTER TABLE clicks_hourly
    ADD COLUMN bots     bigint NOT NULL DEFAULT 0,
    ADD COLUMN previews bigint NOT NULL DEFAULT 0;
COMMENT ON TABLE clicks_hourly IS
    'All clicks; of these `bots` and `previews` were made by programs, the others by people.';
-- For sums over all links; rows come in the order of time, so that it costs next to nothing.
CREATE INDEX clicks_hourly_by_hour ON clicks_hourly USING brin (hour) WITH (autosummarize = on);

-- What goes together shares a row, so that a click adds to four rows and not to nine. A click that
-- tells nothing of a kind has no row there: readers show the rest of the total as unknown.
CREATE TABLE clicks_by_agent (
    url_id  bigint NOT NULL,
    day     date   NOT NULL,
    device  text COLLATE "C" NOT NULL,
    system  text COLLATE "C" NOT NULL,
    browser text COLLATE "C" NOT NULL,
    clicks  bigint NOT NULL,
    people  bigint NOT NULL,
    PRIMARY KEY (url_id, day, device, system, browser)
) WITH (fillfactor = 70);
COMMENT ON TABLE clicks_by_agent IS 'By UTC day. An empty text: not known.';

CREATE TABLE clicks_by_place (
    url_id   bigint NOT NULL,
    day      date   NOT NULL,
    country  text COLLATE "C" NOT NULL,
    language text COLLATE "C" NOT NULL,
    clicks   bigint NOT NULL,
    people   bigint NOT NULL,
    PRIMARY KEY (url_id, day, country, language)
) WITH (fillfactor = 70);
COMMENT ON TABLE clicks_by_place IS 'By UTC day. An empty text: not known.';

CREATE TABLE clicks_by_origin (
    url_id   bigint NOT NULL,
    day      date   NOT NULL,
    referrer text COLLATE "C" NOT NULL,
    source   text COLLATE "C" NOT NULL,
    clicks   bigint NOT NULL,
    people   bigint NOT NULL,
    PRIMARY KEY (url_id, day, referrer, source)
) WITH (fillfactor = 70);
COMMENT ON TABLE clicks_by_origin IS 'By UTC day; `referrer` is a host. An empty text: not known.';

CREATE INDEX clicks_by_agent_by_day ON clicks_by_agent USING brin (day) WITH (autosummarize = on);
CREATE INDEX clicks_by_place_by_day ON clicks_by_place USING brin (day) WITH (autosummarize = on);
CREATE INDEX clicks_by_origin_by_day ON clicks_by_origin USING brin (day) WITH (autosummarize = on);

-- Adds each click's sign (1, or -1 to take it back) to the roll-ups. Each statement is ordered by
-- key, and all writers come through here: unordered upserts of concurrent writers deadlock.
CREATE FUNCTION roll_up_clicks(url_ids bigint[], moments timestamptz[], facts jsonb[], signs int[])
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO clicks_hourly AS rolled (url_id, hour, clicks, bots, previews)
    SELECT url_id, date_trunc('hour', at, 'UTC'), sum(sign),
           coalesce(sum(sign) FILTER (WHERE fact ->> 'bot' <> 'preview'), 0),
           coalesce(sum(sign) FILTER (WHERE fact ->> 'bot' = 'preview'), 0)
      FROM unnest(url_ids, moments, facts, signs) AS share (url_id, at, fact, sign)
     GROUP BY 1, 2
    HAVING sum(sign) <> 0 OR bool_or(fact ->> 'bot' IS NOT NULL)
     ORDER BY 1, 2
        ON CONFLICT (url_id, hour) DO UPDATE
           SET clicks = rolled.clicks + excluded.clicks, bots = rolled.bots + excluded.bots,
               previews = rolled.previews + excluded.previews;

    INSERT INTO clicks_by_agent AS rolled (url_id, day, device, system, browser, clicks, people)
    SELECT url_id, day, device, system, browser, sum(sign), sum(person)
      FROM (SELECT url_id, (at AT TIME ZONE 'UTC')::date AS day, sign,
                   CASE WHEN fact ->> 'bot' IS NULL THEN sign ELSE 0 END AS person,
                   coalesce(left(fact ->> 'device', 100), '') COLLATE "C" AS device,
                   coalesce(left(fact ->> 'system', 100), '') COLLATE "C" AS system,
                   coalesce(left(fact ->> 'browser', 100), '') COLLATE "C" AS browser
              FROM unnest(url_ids, moments, facts, signs) AS share (url_id, at, fact, sign)
           ) AS told
     WHERE (device, system, browser) <> ('', '', '')
     GROUP BY 1, 2, 3, 4, 5
    HAVING sum(sign) <> 0 OR sum(person) <> 0
     ORDER BY 1, 2, 3, 4, 5
        ON CONFLICT (url_id, day, device, system, browser) DO UPDATE
           SET clicks = rolled.clicks + excluded.clicks, people = rolled.people + excluded.people;

    INSERT INTO clicks_by_place AS rolled (url_id, day, country, language, clicks, people)
    SELECT url_id, day, country, language, sum(sign), sum(person)
      FROM (SELECT url_id, (at AT TIME ZONE 'UTC')::date AS day, sign,
                   CASE WHEN fact ->> 'bot' IS NULL THEN sign ELSE 0 END AS person,
                   coalesce(left(fact ->> 'country', 100), '') COLLATE "C" AS country,
                   coalesce(left(fact ->> 'language', 100), '') COLLATE "C" AS language
              FROM unnest(url_ids, moments, facts, signs) AS share (url_id, at, fact, sign)
           ) AS told
     WHERE (country, language) <> ('', '')
     GROUP BY 1, 2, 3, 4
    HAVING sum(sign) <> 0 OR sum(person) <> 0
     ORDER BY 1, 2, 3, 4
        ON CONFLICT (url_id, day, country, language) DO UPDATE
           SET clicks = rolled.clicks + excluded.clicks, people = rolled.people + excluded.people;

    INSERT INTO clicks_by_origin AS rolled (url_id, day, referrer, source, clicks, people)
    SELECT url_id, day, referrer, source, sum(sign), sum(person)
      FROM (SELECT url_id, (at AT TIME ZONE 'UTC')::date AS day, sign,
                   CASE WHEN fact ->> 'bot' IS NULL THEN sign ELSE 0 END AS person,
                   coalesce(left(lower(split_part(fact ->> 'referrer', '/', 3)), 100), '')
                       COLLATE "C" AS referrer,
                   coalesce(left(fact ->> 'source', 100), '') COLLATE "C" AS source
              FROM unnest(url_ids, moments, facts, signs) AS share (url_id, at, fact, sign)
           ) AS told
     WHERE (referrer, source) <> ('', '')
     GROUP BY 1, 2, 3, 4
    HAVING sum(sign) <> 0 OR sum(person) <> 0
     ORDER BY 1, 2, 3, 4
        ON CONFLICT (url_id, day, referrer, source) DO UPDATE
           SET clicks = rolled.clicks + excluded.clicks, people = rolled.people + excluded.people;
END
$$;
REVOKE ALL ON FUNCTION roll_up_clicks(bigint[], timestamptz[], jsonb[], int[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION roll_up_inserted_clicks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM roll_up_clicks(array_agg(url_id), array_agg(at), array_agg(details), array_agg(1))
       FROM inserted
      WHERE event_type = 'redirect' AND url_id IS NOT NULL
     HAVING count(*) > 0;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION roll_up_corrected_clicks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM roll_up_clicks(array_agg(url_id), array_agg(at), array_agg(details), array_agg(sign))
       FROM (SELECT url_id, at, details, -1 AS sign FROM before
              WHERE event_type = 'redirect' AND url_id IS NOT NULL
             UNION ALL
             SELECT url_id, at, details, 1 FROM after
              WHERE event_type = 'redirect' AND url_id IS NOT NULL) AS shares
     HAVING count(*) > 0;
    RETURN NULL;
END
$$;

-- Who was there today and yesterday, by a hash under the day's key, which is kept elsewhere and
-- thrown away: to count each once a day, whatever is delivered twice.
CREATE TABLE visitors_seen (
    day     date   NOT NULL,
    url_id  bigint NOT NULL,
    visitor bigint NOT NULL,
    PRIMARY KEY (day, url_id, visitor)
) PARTITION BY LIST (day);

CREATE TABLE visitors_hourly (
    url_id   bigint NOT NULL,
    hour     timestamptz NOT NULL,
    visitors bigint NOT NULL,
    PRIMARY KEY (url_id, hour)
) WITH (fillfactor = 70);
COMMENT ON TABLE visitors_hourly IS
    'People, each counted in the hour of their first visit of a UTC day to the link.';
CREATE INDEX visitors_hourly_by_hour ON visitors_hourly USING brin (hour) WITH (autosummarize = on);

-- Makes the partitions of `visitors_seen` from yesterday to the day after tomorrow, and drops what
-- is older: nobody can be told again from then on.
CREATE FUNCTION keep_visitor_days() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    name  text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('keep_visitor_days'));
    FOR i IN -1..2 LOOP
        name := 'visitors_seen_' || to_char(today + i, 'YYYYMMDD');
        IF to_regclass(name) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF visitors_seen FOR VALUES IN (%L)',
                           name, today + i);
        END IF;
    END LOOP;
    FOR name IN
        SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
         WHERE inhparent = 'visitors_seen'::regclass
           AND relname < 'visitors_seen_' || to_char(today - 1, 'YYYYMMDD')
    LOOP
        EXECUTE format('DROP TABLE %I', name);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION keep_visitor_days() FROM PUBLIC;
SELECT keep_visitor_days();

-- Counts those visitors who were not there before on that day; repeating it counts nobody.
CREATE FUNCTION count_visitors(url_ids bigint[], moments timestamptz[], visitors bigint[])
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    WITH candidates AS MATERIALIZED (
        SELECT (at AT TIME ZONE 'UTC')::date AS day, url_id, visitor,
               min(date_trunc('hour', at, 'UTC')) AS hour
          FROM unnest(url_ids, moments, visitors) AS visit (url_id, at, visitor)
         GROUP BY 1, 2, 3
    ), added AS (
        INSERT INTO visitors_seen (day, url_id, visitor)
        SELECT day, url_id, visitor FROM candidates ORDER BY 1, 2, 3
            ON CONFLICT DO NOTHING
        RETURNING day, url_id, visitor
    )
    INSERT INTO visitors_hourly AS known (url_id, hour, visitors)
    SELECT url_id, hour, count(*)
      FROM added JOIN candidates USING (day, url_id, visitor)
     GROUP BY 1, 2
     ORDER BY 1, 2
        ON CONFLICT (url_id, hour) DO UPDATE SET visitors = known.visitors + excluded.visitors;
END
$$;
REVOKE ALL ON FUNCTION count_visitors(bigint[], timestamptz[], bigint[]) FROM PUBLIC;

CREATE TABLE orphans_daily (
    day        date NOT NULL,
    domain_id  smallint NOT NULL,
    short_code text COLLATE "C" NOT NULL,
    visits     bigint NOT NULL,
    PRIMARY KEY (day, domain_id, short_code)
) WITH (fillfactor = 70);
COMMENT ON TABLE orphans_daily IS
    'Visits to codes without a link, for 90 days. The code * stands for those beyond the first '
    'codes of a day, whose number is bounded.';

-- Notes a day's counts as they stand; a smaller one is an older one.
CREATE FUNCTION note_orphans(on_day date, domain smallint, codes text[], counts bigint[])
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO orphans_daily AS known (day, domain_id, short_code, visits)
    SELECT on_day, domain, code, visits
      FROM unnest(codes, counts) AS new (code, visits)
     ORDER BY code
        ON CONFLICT (day, domain_id, short_code) DO UPDATE
           SET visits = greatest(known.visits, excluded.visits)
$$;
CREATE FUNCTION forget_old_orphans() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM orphans_daily WHERE day < (now() AT TIME ZONE 'UTC')::date - 90
$$;
REVOKE ALL ON FUNCTION note_orphans(date, smallint, text[], bigint[]), forget_old_orphans()
    FROM PUBLIC;

GRANT EXECUTE ON FUNCTION keep_visitor_days(), forget_old_orphans(),
                          count_visitors(bigint[], timestamptz[], bigint[]),
                          note_orphans(date, smallint, text[], bigint[])
    TO shortwire_ingest;
GRANT SELECT ON clicks_by_agent, clicks_by_place, clicks_by_origin, visitors_hourly, orphans_daily
    TO shortwire_management;
