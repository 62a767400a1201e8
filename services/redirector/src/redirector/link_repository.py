"""The tables of links, as the redirector reads them."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg
import msgspec

from shared import link_rows
from shared.events import LinkRecord
from shared.postgres import Connection, Pool, lend

ACQUIRE_TIMEOUT_SECONDS = 0.5  # a visitor who waits longer is better told to come back
CATCH_UP_SECONDS = 0.05  # for a replica, before the primary is asked instead
CATCH_UP_LOOK_SECONDS = 0.002


class Behind(Exception):
    """The replica has not caught up in time, or is none any more."""


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
    return _record(row)


SELECT_BY_CODES = f"""
    SELECT urls.short_code AS asked, {link_rows.COLUMNS}
      FROM urls WHERE domain_id = $1 AND short_code = ANY($2)
    UNION ALL
    SELECT alias.short_code, {link_rows.COLUMNS}
      FROM url_aliases AS alias JOIN urls ON urls.id = alias.url_id
     WHERE alias.domain_id = $1 AND alias.short_code = ANY($2)
"""  # noqa: S608


async def find_after(
    replicas: Pool, domain: int, codes: Sequence[str], position: int
) -> Mapping[str, LinkRecord]:
    """Return what `find` does of each code, of a replica that replayed the log to `position`.

    Raises `Behind`, one of `shared.errors.TRANSACTION_CONFLICT`, or as `find` does.
    """
    async with lend(replicas, timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        await _catch_up(connection, position)
        # A statement of its own: what was replayed before it began, it sees.
        rows = await connection.fetch(SELECT_BY_CODES, domain, codes)
    found = {row["asked"]: row for row in rows}
    return {code: _record(found.get(code)) for code in codes}


def _record(row: asyncpg.Record | None) -> LinkRecord:
    if row is None:
        return LinkRecord(version=0, state="unknown", cached_at=time.time())
    return link_rows.record_of(row)


# A change is acknowledged, and announced, after its commit was flushed.
END_OF_LOG = "SELECT pg_current_wal_flush_lsn()"


async def end_of_log(primary: Pool) -> int:
    """Return the position behind all that was committed; raises as `find` does."""
    async with lend(primary, timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        return int(await connection.fetchval(END_OF_LOG))


REPLAYED = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END"


async def _catch_up(connection: Connection, position: int) -> None:
    until = time.monotonic() + CATCH_UP_SECONDS
    while True:
        replayed = await connection.fetchval(REPLAYED)
        if replayed is None:
            connection.terminate()  # promoted: the pool is to look for another
            raise Behind
        if replayed >= position:
            return
        if time.monotonic() > until:
            raise Behind
        await asyncio.sleep(CATCH_UP_LOOK_SECONDS)


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
