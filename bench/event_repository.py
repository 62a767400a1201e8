"""Events made by the million, over the year that has gone by, with their roll-ups."""

from shared.postgres import Connection

INSERT_SECONDS = 600.0
YEAR_DAYS = 365

ENSURE_PARTITIONS = """
    SELECT ensure_events_partition(now() - day * interval '1 day')
      FROM generate_series(0, $1::int) AS day
"""
# Number after number through the year, over the first thousand links; the roll-ups follow by
# trigger, as for every insert.
INSERT_EVENTS = """
    INSERT INTO events (at, event_id, event_type, url_id, user_id, details)
    SELECT now() - (number % ($3 * 86400)) * interval '1 second', gen_random_uuid(), 'redirect',
           1 + number % 1000, 1,
           jsonb_build_object(
               'short_code', 'l' || lpad((number % 1000)::text, 8, '0'),
               'device', (ARRAY['desktop', 'mobile', 'tablet'])[1 + number % 3],
               'system', (ARRAY['Windows', 'Android', 'iOS', 'Linux'])[1 + number % 4],
               'browser', (ARRAY['Chrome', 'Firefox', 'Safari'])[1 + number % 3],
               'referrer', 'https://site' || number % 20 || '.example.com',
               'language', 'en')
      FROM generate_series($1::bigint, $2::bigint - 1) AS number
"""
ANALYZE = "ANALYZE events, clicks_hourly, clicks_by_agent, clicks_by_place, clicks_by_origin"
ARE_SUMMED_UP = """
    SELECT NOT EXISTS (SELECT FROM hour_notes) AND NOT EXISTS (SELECT FROM late_days)
       AND (SELECT day FROM summed_until) >= (now() AT TIME ZONE 'UTC')::date
"""


async def ensure_year(connection: Connection) -> None:
    """Make the partitions of a year."""
    await connection.execute(ENSURE_PARTITIONS, YEAR_DAYS, timeout=INSERT_SECONDS)


async def add(connection: Connection, first: int, end: int) -> None:
    """Insert the events numbered from `first` to before `end`."""
    await connection.execute(INSERT_EVENTS, first, end, YEAR_DAYS, timeout=INSERT_SECONDS)


async def analyze(connection: Connection) -> None:
    """Let the planner know how many there are."""
    await connection.execute(ANALYZE, timeout=INSERT_SECONDS)


async def are_summed_up(connection: Connection) -> bool:
    """Tell whether event-ingest has summed up, over all links, what can be."""
    return bool(await connection.fetchval(ARE_SUMMED_UP))
