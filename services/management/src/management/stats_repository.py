"""The roll-ups of clicks, as the API reads them; `events` itself is never asked.

Hours sum up to any longer time; what clicks tell is known by UTC day. A breakdown's row holds what
is known, so that the rest of the total is what is not.
"""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec

from management.fields import Moment
from shared.postgres import Connection

Interval = Literal["hour", "day", "week", "month"]
Number = Annotated[int, msgspec.Meta(ge=0)]


class Links(msgspec.Struct, frozen=True):
    """Whose clicks: of one link, of live links of a user, with a tag, or both, or all there are."""

    url_id: int | None = None
    user_id: int | None = None
    tag: str | None = None


ALL = Links()


class Days(msgspec.Struct, frozen=True):
    """UTC days, from midnight before the first to midnight after the last."""

    begin: datetime
    end: datetime


class Bucket(msgspec.Struct, frozen=True):
    """The clicks of an hour, day, week or month that begins at `start`, as far as in the range.

    `people`, `bots` and `previews` make up `clicks`. `visitors` are people, each counted once a
    UTC day and link, in the hour of the first visit.
    """

    start: Moment
    clicks: Number
    people: Number
    bots: Number
    previews: Number
    visitors: Number


class Share(msgspec.Struct, frozen=True):
    """Clicks of which one value is known; `people` made so many of them."""

    value: str
    clicks: Number
    people: Number


class Known(msgspec.Struct, frozen=True):
    """The largest shares, and how many clicks have any value."""

    top: list[Share]
    clicks: int
    people: int


_ONE = "url_id = $1"
_ALL = "$1::bigint IS NULL"
_OF_USER = "url_id IN (SELECT id FROM urls WHERE user_id = $1 AND deleted_at IS NULL)"
_TAGGED = """
    url_id IN (SELECT id FROM urls
                WHERE ($1::bigint IS NULL OR user_id = $1) AND deleted_at IS NULL
                  AND tags <> '{{}}' AND tags @> ARRAY[${place}::text])
"""
_HOURS = """
    SELECT hour, clicks, bots, previews, 0::bigint AS visitors FROM clicks_hourly WHERE {whose}
    UNION ALL
    SELECT hour, 0, 0, 0, visitors FROM visitors_hourly WHERE {whose}
"""
# Of all links together, with what is not added up yet: in one statement, so that it is exact.
_HOURS_OF_ALL = """
    SELECT hour, clicks, bots, previews, visitors FROM all_links_hourly WHERE {whose}
    UNION ALL
    SELECT hour, clicks, bots, previews, visitors FROM hour_notes WHERE {whose}
"""
# What the range holds of each bucket, empty ones included: a step of 12 hours meets every day of
# every zone, however long its clocks make it.
_SERIES = """
    WITH counted AS (
        SELECT date_trunc($4, hour, $5) AS start, sum(clicks) AS clicks, sum(bots) AS bots,
               sum(previews) AS previews, sum(visitors) AS visitors
          FROM ({hours}) AS hours
         WHERE hour >= $2 AND hour < $3
         GROUP BY 1
        UNION ALL
        SELECT DISTINCT date_trunc($4, moment, $5), 0, 0, 0, 0
          FROM (SELECT generate_series($2, $3, $6::interval) UNION SELECT $3 - interval '1 hour')
               AS moments (moment)
         WHERE moment < $3
    )
    SELECT start AT TIME ZONE 'UTC' AS start, sum(clicks)::bigint AS clicks,
           sum(clicks - bots - previews)::bigint AS people, sum(bots)::bigint AS bots,
           sum(previews)::bigint AS previews, sum(visitors)::bigint AS visitors
      FROM counted
     GROUP BY counted.start
     ORDER BY counted.start
"""


async def find_series(
    connection: Connection, links: Links, days: Days, interval: Interval, zone: str
) -> list[Bucket]:
    """Return the buckets of `days`; raises asyncpg's error for a zone that there is not."""
    in_hours = interval == "hour"
    arguments = [
        links.url_id or links.user_id,
        days.begin,
        days.end,
        interval,
        "UTC" if in_hours else zone,  # the roll-ups' hours are those of UTC
        timedelta(hours=1 if in_hours else 12),
    ]
    hours = _HOURS_OF_ALL if links == ALL else _HOURS
    query = _SERIES.format(hours=hours.format(whose=_whose(links, arguments)))
    rows = await connection.fetch(query, *arguments)
    return msgspec.convert(rows, list[Bucket])


_SHARES = """
    SELECT {dimension} AS value, clicks, people
      FROM {table}
     WHERE {whose} AND day >= $2 AND day < $3 AND {dimension} <> ''
"""
# Of all links together: sums of the days that have them, the rows of those not yet summed up and
# of those that had clicks since. One statement sees a sum, or the mark that it is not complete.
_SHARES_OF_ALL = """
    SELECT value, clicks, people
      FROM all_links_daily
     WHERE {whose} AND dimension = '{dimension}'
       AND day >= $2 AND day < least($3, (SELECT day FROM summed_until))
       AND day NOT IN (SELECT day FROM late_days)
    UNION ALL
    SELECT {dimension}, clicks, people
      FROM {table}
     WHERE day >= greatest($2, (SELECT day FROM summed_until)) AND day < $3 AND {dimension} <> ''
    UNION ALL
    SELECT {dimension}, clicks, people
      FROM {table}
     WHERE day IN (SELECT day FROM late_days
                    WHERE day >= $2 AND day < least($3, (SELECT day FROM summed_until)))
       AND {dimension} <> ''
"""
_BREAKDOWN = """
    SELECT value, sum(clicks)::bigint AS clicks, sum(people)::bigint AS people,
           (sum(sum(clicks)) OVER ())::bigint AS known_clicks,
           (sum(sum(people)) OVER ())::bigint AS known_people
      FROM ({shares}) AS shares
     GROUP BY value
    HAVING sum(clicks) <> 0
     ORDER BY sum(clicks) DESC, value
     LIMIT $4
"""
DIMENSIONS = {
    "referrer": "clicks_by_origin",
    "source": "clicks_by_origin",
    "country": "clicks_by_place",
    "language": "clicks_by_place",
    "device": "clicks_by_agent",
    "system": "clicks_by_agent",
    "browser": "clicks_by_agent",
}


async def find_known(
    connection: Connection, links: Links, days: Days, dimension: str, limit: int
) -> Known:
    """Return what is known of one dimension."""
    arguments = [links.url_id or links.user_id, days.begin.date(), days.end.date(), limit]
    shares = (_SHARES_OF_ALL if links == ALL else _SHARES).format(
        dimension=dimension, table=DIMENSIONS[dimension], whose=_whose(links, arguments)
    )
    rows = await connection.fetch(_BREAKDOWN.format(shares=shares), *arguments)
    top = [Share(row["value"], row["clicks"], row["people"]) for row in rows]
    if not rows:
        return Known(top, 0, 0)
    return Known(top, rows[0]["known_clicks"], rows[0]["known_people"])


class Orphan(msgspec.Struct, frozen=True):
    """A code without a link, how often it was visited, and on which UTC day last."""

    short_code: str
    visits: Number
    last_day: date


class Orphans(msgspec.Struct, frozen=True):
    """Visits to codes without a link; `other` are those to codes that are not listed."""

    visits: Number
    codes: list[Orphan]
    other: Number


_ORPHANS = """
    SELECT short_code, sum(visits)::bigint AS visits, max(day) AS last_day,
           (sum(sum(visits)) OVER ())::bigint AS total
      FROM orphans_daily
     WHERE day >= $1 AND day < $2
     GROUP BY short_code
     ORDER BY short_code = '*', sum(visits) DESC, short_code
     LIMIT $3
"""


async def find_orphans(connection: Connection, days: Days, limit: int) -> Orphans:
    """Return the codes that were visited most."""
    rows = await connection.fetch(_ORPHANS, days.begin.date(), days.end.date(), limit)
    total = rows[0]["total"] if rows else 0
    codes = [
        Orphan(row["short_code"], row["visits"], row["last_day"])
        for row in rows
        if row["short_code"] != "*"  # the rest of a day with too many codes
    ]
    return Orphans(total, codes, total - sum(orphan.visits for orphan in codes))


def _whose(links: Links, arguments: list[Any]) -> str:
    """Return the condition, whose tag, if there is one, comes to be the last of the arguments."""
    if links.tag is not None:
        arguments.append(links.tag)
        return _TAGGED.format(place=len(arguments))
    if links.url_id is not None:
        return _ONE
    return _ALL if links.user_id is None else _OF_USER
