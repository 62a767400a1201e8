"""`/urls/{url_id}/stats` and `/stats`: answers about clicks."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

import asyncpg
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from management import (
    fields,
    pages,
    stats_ranges,
    stats_repository,
    url_filters,
    url_repository,
)
from management.connections import connection, snapshot
from management.errors import Forbidden, Malformed, NotFound
from management.resources import State, operation, path_id, principal_of
from management.stats_repository import (
    DIMENSIONS,
    Bucket,
    Interval,
    Known,
    Links,
    Number,
    Orphan,
    Orphans,
    Share,
)
from shared.http import JSONResponse
from shared.postgres import Connection

MAX_LIMIT = 1_000
DEFAULT_LIMIT = 10
Day = Annotated[date, msgspec.Meta(extra_json_schema={"format": "date"})]


class Total(msgspec.Struct, frozen=True):
    """All clicks of the range; `people`, `bots` and `previews` make up `clicks`.

    `visitors` are people, each counted once a UTC day and link.
    """

    clicks: Number
    people: Number
    bots: Number
    previews: Number
    visitors: Number


class Rest(msgspec.Struct, frozen=True):
    """Clicks beside the listed ones."""

    clicks: Number
    people: Number


class Breakdown(msgspec.Struct, frozen=True):
    """The total by one thing that clicks tell: `top`, `other` and `unknown` make it up.

    Of programs nothing but origin and place is told.
    """

    top: list[Share]
    other: Rest
    unknown: Rest


class Previous(msgspec.Struct, frozen=True, kw_only=True):
    """The time just before the range, to compare with; its steps begin by the same clock."""

    first: Day = msgspec.field(name="from")
    last: Day = msgspec.field(name="to")
    total: Total
    series: list[Bucket]


class Stats(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Answers about the clicks from one UTC day to another, both included.

    `previous` is there where `compare` asks for it.
    """

    first: Day = msgspec.field(name="from")
    last: Day = msgspec.field(name="to")
    interval: Interval
    timezone: str
    total: Total
    series: list[Bucket]
    breakdowns: dict[str, Breakdown]
    previous: Previous | None = None


class OrphanStats(msgspec.Struct, frozen=True, kw_only=True):
    """Visits to codes without a link, from one UTC day to another, both included.

    `codes` and `other` make up `visits`.
    """

    first: Day = msgspec.field(name="from")
    last: Day = msgspec.field(name="to")
    visits: Number
    codes: list[Orphan]
    other: Number


@fields.accepts(type="integer", minimum=1, maximum=MAX_LIMIT, default=DEFAULT_LIMIT)
def _limit(value: str) -> int:
    number = pages.parse_integer(value)
    if not 1 <= number <= MAX_LIMIT:
        raise ValueError(f"must be from 1 to {MAX_LIMIT}")
    return number


LIMIT = {"limit": _limit}
WHOSE = {
    "user_id": pages.parse_id,
    "tag": fields.Check(
        url_filters.tag,
        {**url_filters.tag.schema, "description": "Of the URLs that have this tag now."},
    ),
}
CUT = stats_ranges.RANGE | stats_ranges.CUT | stats_ranges.COMPARE | LIMIT
APRIL = date(2026, 4, 3)
EXAMPLE = Stats(
    first=APRIL,
    last=APRIL,
    interval="day",
    timezone="UTC",
    total=Total(12, 9, 2, 1, 7),
    series=[Bucket(fields.EXAMPLE_TIME.replace(hour=0), 12, 9, 2, 1, 7)],
    breakdowns={
        dimension: Breakdown([Share(value, 6, 6)], Rest(1, 1), Rest(5, 2))
        for dimension, value in {
            "referrer": "news.example.com",
            "source": "qr",
            "country": "AT",
            "language": "de-at",
            "device": "mobile",
            "system": "Android",
            "browser": "Firefox",
        }.items()
    },
)


def _described(*readers: dict[str, fields.Check]) -> dict[str, fields.Schema]:
    return {name: check.schema for each in readers for name, check in each.items()}


@operation(Stats, example=EXAMPLE, query=_described(CUT))
async def read_url_stats(request: Request[State]) -> Response:
    """Return answers about one URL's clicks.

    From sums that are kept as clicks arrive, whatever their number. Days are those of UTC;
    `timezone` only cuts the series, whose first and last step may reach beyond the range.
    """
    url_id = path_id(request, "url_id", "URL not found")
    owner = principal_of(request).owner
    asked = _asked(request)
    async with snapshot(request.state["pool"]) as lent:
        if await url_repository.find(lent, url_id, owner) is None:
            raise NotFound("URL not found")
        return JSONResponse(await _stats(lent, Links(url_id=url_id), asked))


@operation(Stats, example=EXAMPLE, query=_described(CUT, WHOSE))
async def read_stats(request: Request[State]) -> Response:
    """Return answers about the clicks of all one's URLs.

    An administrator's key gets those of all there are and were, or of one user's by `user_id`.
    """
    owner = principal_of(request).owner
    asked = _asked(request)
    whose = pages.read_filters(request, WHOSE)
    user_id = whose.get("user_id")
    if owner is not None and user_id not in {None, owner}:
        raise NotFound("User not found")
    async with snapshot(request.state["pool"]) as lent:
        links = Links(user_id=user_id if owner is None else owner, tag=whose.get("tag"))
        return JSONResponse(await _stats(lent, links, asked))


@operation(
    OrphanStats,
    example=OrphanStats(
        first=APRIL, last=APRIL, visits=8, codes=[Orphan("helo", 7, APRIL)], other=1
    ),
    query=_described(stats_ranges.RANGE, LIMIT),
    errors=(Forbidden,),
)
async def read_orphan_stats(request: Request[State]) -> Response:
    """Return the codes without a link that were visited most; an administrator's.

    They are kept for 90 days. Of codes beyond the first 10,000 of a day only the sum is known.
    """
    principal_of(request).require_admin()
    asked = _asked(request)
    span = asked.range
    async with connection(request.state["pool"]) as lent:
        found: Orphans = await stats_repository.find_orphans(lent, span.days, asked.limit)
    return JSONResponse(
        OrphanStats(
            first=span.first,
            last=span.last,
            visits=found.visits,
            codes=found.codes,
            other=found.other,
        )
    )


class Asked(msgspec.Struct, frozen=True):
    """What is to be answered: `limit` values of each breakdown, and whether what was before."""

    range: stats_ranges.Range
    limit: int
    is_compared: bool


def _asked(request: Request[Any]) -> Asked:
    given = pages.read_filters(request, LIMIT | stats_ranges.COMPARE)
    return Asked(
        stats_ranges.read_range(request, datetime.now(UTC).date()),
        given.get("limit", DEFAULT_LIMIT),
        "compare" in given,
    )


async def _stats(lent: Connection, links: Links, asked: Asked) -> Stats:
    span = asked.range
    total, series = await _series(lent, links, span)
    breakdowns = {}
    for dimension in DIMENSIONS:
        known = await stats_repository.find_known(lent, links, span.days, dimension, asked.limit)
        breakdowns[dimension] = _breakdown(total, known)
    return Stats(
        first=span.first,
        last=span.last,
        interval=span.interval,
        timezone=span.zone,
        total=total,
        series=series,
        breakdowns=breakdowns,
        previous=await _previous(lent, links, span.previous) if asked.is_compared else None,
    )


async def _previous(lent: Connection, links: Links, before: stats_ranges.Range) -> Previous:
    total, series = await _series(lent, links, before)
    return Previous(first=before.first, last=before.last, total=total, series=series)


async def _series(
    lent: Connection, links: Links, span: stats_ranges.Range
) -> tuple[Total, list[Bucket]]:
    try:
        series = await stats_repository.find_series(
            lent, links, span.days, span.interval, span.zone
        )
    except asyncpg.InvalidParameterValueError:
        message = "timezone must be a name of the IANA database, like Europe/Vienna"
        raise Malformed(message, {"timezone": message}) from None
    names = msgspec.structs.fields(Total)
    return Total(*(sum(getattr(each, name.name) for each in series) for name in names)), series


def _breakdown(total: Total, known: Known) -> Breakdown:
    listed = Rest(sum(s.clicks for s in known.top), sum(s.people for s in known.top))
    return Breakdown(
        known.top,
        other=Rest(known.clicks - listed.clicks, known.people - listed.people),
        unknown=Rest(total.clicks - known.clicks, total.people - known.people),
    )
