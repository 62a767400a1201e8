-- What a statement inserted is rolled up straight from the rows: copying them into arrays first, as
-- `roll_up_clicks` needs them, cost the more the more rows came at once. Corrections still go that
-- way. The tables' order, and the order of keys within each, are the same in both: writers that
-- took rows in another order would deadlock.
CREATE OR REPLACE FUNCTION roll_up_inserted_clicks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO clicks_hourly AS rolled (url_id, hour, clicks, bots, previews)
    SELECT url_id, date_trunc('hour', at, 'UTC'), count(*),
           count(*) FILTER (WHERE details ->> 'bot' <> 'preview'),
           count(*) FILTER (WHERE details ->> 'bot' = 'preview')
      FROM inserted
     WHERE event_type = 'redirect' AND url_id IS NOT NULL
     GROUP BY 1, 2
     ORDER BY 1, 2
        ON CONFLICT (url_id, hour) DO UPDATE
           SET clicks = rolled.clicks + excluded.clicks, bots = rolled.bots + excluded.bots,
               previews = rolled.previews + excluded.previews;

    INSERT INTO clicks_by_agent AS rolled (url_id, day, device, system, browser, clicks, people)
    SELECT url_id, day, device, system, browser, count(*), count(*) FILTER (WHERE is_person)
      FROM (SELECT url_id, (at AT TIME ZONE 'UTC')::date AS day,
                   details ->> 'bot' IS NULL AS is_person,
                   coalesce(left(details ->> 'device', 100), '') COLLATE "C" AS device,
                   coalesce(left(details ->> 'system', 100), '') COLLATE "C" AS system,
                   coalesce(left(details ->> 'browser', 100), '') COLLATE "C" AS browser
              FROM inserted
             WHERE event_type = 'redirect' AND url_id IS NOT NULL) AS told
     WHERE device <> '' OR system <> '' OR browser <> ''
     GROUP BY 1, 2, 3, 4, 5
     ORDER BY 1, 2, 3, 4, 5
        ON CONFLICT (url_id, day, device, system, browser) DO UPDATE
           SET clicks = rolled.clicks + excluded.clicks, people = rolled.people + excluded.people;

    INSERT INTO clicks_by_place AS rolled (url_id, day, country, language, clicks, people)
    SELECT url_id, day, country, language, count(*), count(*) FILTER (WHERE is_person)
      FROM (SELECT url_id, (at AT TIME ZONE 'UTC')::date AS day,
                   details ->> 'bot' IS NULL AS is_person,
                   coalesce(left(details ->> 'country', 100), '') COLLATE "C" AS country,
                   coalesce(left(details ->> 'language', 100), '') COLLATE "C" AS language
              FROM inserted
             WHERE event_type = 'redirect' AND url_id IS NOT NULL) AS told
     WHERE country <> '' OR language <> ''
     GROUP BY 1, 2, 3, 4
     ORDER BY 1, 2, 3, 4
        ON CONFLICT (url_id, day, country, language) DO UPDATE
           SET clicks = rolled.clicks + excluded.clicks, people = rolled.people + excluded.people;

    INSERT INTO clicks_by_origin AS rolled (url_id, day, referrer, source, clicks, people)
    SELECT url_id, day, referrer, source, count(*), count(*) FILTER (WHERE is_person)
      FROM (SELECT url_id, (at AT TIME ZONE 'UTC')::date AS day,
                   details ->> 'bot' IS NULL AS is_person,
                   coalesce(left(lower(split_part(details ->> 'referrer', '/', 3)), 100), '')
                       COLLATE "C" AS referrer,
                   coalesce(left(details ->> 'source', 100), '') COLLATE "C" AS source
              FROM inserted
             WHERE event_type = 'redirect' AND url_id IS NOT NULL) AS told
     WHERE referrer <> '' OR source <> ''
     GROUP BY 1, 2, 3, 4
     ORDER BY 1, 2, 3, 4
        ON CONFLICT (url_id, day, referrer, source) DO UPDATE
           SET clicks = rolled.clicks + excluded.clicks, people = rolled.people + excluded.people;
    RETURN NULL;
END
$$;
