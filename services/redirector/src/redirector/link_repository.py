"""The tables of links, as the redirector reads them."""

import time
from datetime import datetime

import msgspec

from shared import link_rows
from shared.events import LinkRecord
from shared.postgres import Pool, lend

ACQUIRE_TIMEOUT_SECONDS = 0.5  # a visitor who waits longer is better told to come back

SELECT_BY_CODE = f"""
    SELECT {link_rows.COLUMNS} FROM urls WHERE domain_id = $1 AND short_code = $2
    UNION ALL
    SELECT {link_rows.COLUMNS} FROM url_aliases AS alias JOIN urls ON urls.id = alias.url_id
     WHERE alias.domain_id = $1 AND alias.short_code = $2
     LIMIT 1
"""  # noqa: S608


async def find(pool: Pool, domain: int, code: str) -> LinkRecord:
    """Return what is behind `code`; its state is `unknown` where there is no row.

    Raises one of `shared.errors.DATABASE_UNAVAILABLE`; the query's own limit is the pool's.
    """
    async with lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        row = await connection.fetchrow(SELECT_BY_CODE, domain, code)
    if row is None:
        return LinkRecord(version=0, state="unknown", cached_at=time.time())
    return link_rows.record_of(row)


class Facts(msgspec.Struct, frozen=True):
    """What redirects do not need; the time is UTC, without offset."""

    title: str | None
    created_at: datetime | None


SELECT_FACTS = """
    SELECT title, created_at AT TIME ZONE 'UTC' AS created_at FROM urls WHERE id = $1
"""


async def find_facts(pool: Pool, url_id: int) -> Facts | None:
    """Return what else there is to tell of a link; raises as `find` does."""
    async with lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        row = await connection.fetchrow(SELECT_FACTS, url_id)
    return None if row is None else msgspec.convert(row, Facts)


COUNT_CLICKS = "SELECT coalesce(sum(clicks), 0)::bigint FROM clicks_hourly WHERE url_id = $1"


async def count_clicks(pool: Pool, url_id: int) -> int:
    """Return the clicks of a link that are stored; raises as `find` does."""
    async with lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        return int(await connection.fetchval(COUNT_CLICKS, url_id))
