-- What all links' clicks tell together, by day: to sum it up for a year took every row of the
-- roll-ups by day. Days are summed up once they are over; who stores clicks of such a day leaves a
-- mark, and until it is summed up again readers take that day from the roll-ups.

CREATE TABLE all_links_daily (
    day       date NOT NULL,
    dimension text COLLATE "C" NOT NULL,
    value     text COLLATE "C" NOT NULL,
    clicks    bigint NOT NULL,
    people    bigint NOT NULL,
    PRIMARY KEY (dimension, day, value)
);
COMMENT ON TABLE all_links_daily IS
    'Sums of clicks_by_agent, _place and _origin over all links, by UTC day. They hold for days '
    'before summed_until that are not in late_days, read in the same snapshot.';

CREATE TABLE summed_until (
    day      date NOT NULL,
    only_row boolean NOT NULL DEFAULT true PRIMARY KEY CHECK (only_row)
);
COMMENT ON TABLE summed_until IS 'The first day that has not been summed up in all_links_daily.';

CREATE TABLE late_days (
    day      date NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE late_days IS
    'Days that were over when clicks of theirs were stored or corrected, as often as that was: '
    'marks are only added, so that writers do not wait for each other.';

-- Of each statement the days that are over are marked. For the first that is not, a lock is shared
-- until the writer commits: a day is summed up only when nobody has it, so that no click without a
-- mark comes after its sum, however long a transaction takes. Days are summed up in their order:
-- the first one's lock keeps the later ones, too. What is marked is decided under the lock.
CREATE FUNCTION mark_late_days(days date[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('sum_up_day'), min(day) - date 'epoch')
       FROM unnest(days) AS day
      WHERE day >= (clock_timestamp() AT TIME ZONE 'UTC')::date
     HAVING count(*) > 0;
    INSERT INTO late_days (day)
    SELECT day
      FROM unnest(days) AS day
     WHERE day < (SELECT greatest(until.day, (clock_timestamp() AT TIME ZONE 'UTC')::date)
                    FROM summed_until AS until);
END
$$;
REVOKE ALL ON FUNCTION mark_late_days(date[]) FROM PUBLIC;

-- UTC's days are the epoch's; to look its zone up for every row would take longer.
CREATE FUNCTION mark_inserted_days() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM mark_late_days(array_agg((midnight AT TIME ZONE 'UTC')::date))
       FROM (SELECT date_bin('1 day', at, 'epoch') AS midnight
               FROM inserted
              WHERE event_type = 'redirect' AND url_id IS NOT NULL
              GROUP BY 1) AS days
     HAVING count(*) > 0;
    RETURN NULL;
END
$$;

CREATE FUNCTION mark_corrected_days() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM mark_late_days(array_agg((midnight AT TIME ZONE 'UTC')::date))
       FROM (SELECT date_bin('1 day', at, 'epoch') AS midnight
               FROM before
              WHERE event_type = 'redirect' AND url_id IS NOT NULL
             UNION
             SELECT date_bin('1 day', at, 'epoch')
               FROM after
              WHERE event_type = 'redirect' AND url_id IS NOT NULL) AS days
     HAVING count(*) > 0;
    RETURN NULL;
END
$$;

-- Sums up one day and returns which: the next in order once it has been over for `least_age`, else
-- the latest that has had a mark for so long; NULL if there is none. One at a time: others get NULL
-- at once. Marks go first: one that is committed between the two statements stays, and with it what
-- the sum may or may not have seen.
CREATE FUNCTION sum_up_day(least_age interval) RETURNS date
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    chosen date;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('sum_up_day')) THEN RETURN NULL; END IF;
    SELECT day INTO chosen
      FROM summed_until
     WHERE (day + 1)::timestamp AT TIME ZONE 'UTC' <= now() - least_age;
    IF pg_try_advisory_xact_lock(hashtext('sum_up_day'), chosen - date 'epoch') THEN
        UPDATE summed_until SET day = chosen + 1;
    ELSE  -- it is not over, or somebody who has it left no mark
        SELECT max(day) INTO chosen FROM late_days WHERE noted_at <= now() - least_age;
        IF chosen IS NULL THEN RETURN NULL; END IF;
    END IF;

    DELETE FROM late_days WHERE day = chosen;
    DELETE FROM all_links_daily
     WHERE day = chosen
       AND dimension IN ('device', 'system', 'browser', 'country', 'language', 'referrer',
                         'source');
    INSERT INTO all_links_daily (day, dimension, value, clicks, people)
    SELECT chosen, dimension, value, sum(clicks), sum(people)
      FROM (SELECT dimension, value, clicks, people
              FROM clicks_by_agent
             CROSS JOIN LATERAL (VALUES ('device', device), ('system', system),
                                        ('browser', browser)) AS told (dimension, value)
             WHERE day = chosen
            UNION ALL
            SELECT dimension, value, clicks, people
              FROM clicks_by_place
             CROSS JOIN LATERAL (VALUES ('country', country), ('language', language))
                     AS told (dimension, value)
             WHERE day = chosen
            UNION ALL
            SELECT dimension, value, clicks, people
              FROM clicks_by_origin
             CROSS JOIN LATERAL (VALUES ('referrer', referrer), ('source', source))
                     AS told (dimension, value)
             WHERE day = chosen) AS shares
     WHERE value <> ''
     GROUP BY dimension, value
    HAVING sum(clicks) <> 0 OR sum(people) <> 0;
    RETURN chosen;
END
$$;
REVOKE ALL ON FUNCTION sum_up_day(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sum_up_day(interval) TO shortwire_ingest;

-- The triggers' lock waits for who has stored clicks without a mark, and who waits for it has the
-- triggers. Nothing is summed up here: the days that there are follow one by one.
CREATE TRIGGER mark_inserted_days AFTER INSERT ON events
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION mark_inserted_days();
CREATE TRIGGER mark_corrected_days AFTER UPDATE ON events
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION mark_corrected_days();

INSERT INTO summed_until (day)
SELECT coalesce((min(hour) AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date)
  FROM (SELECT hour FROM all_links_hourly UNION ALL SELECT hour FROM hour_notes) AS hours;

GRANT SELECT ON all_links_daily, summed_until, late_days TO shortwire_management;
