"""The tables of links, as the redirector reads them."""

import time
from urllib.parse import quote

import asyncpg
import msgspec

from shared.events import LinkRecord, LinkState, Rule
from shared.postgres import Pool, lend

ACQUIRE_TIMEOUT_SECONDS = 0.5  # a visitor who waits longer is better told to come back
_HEADER_SAFE = "".join(map(chr, range(0x21, 0x7F)))
_rules_decoder = msgspec.json.Decoder(tuple[Rule, ...])

_COLUMNS = """
    u.id, u.user_id, u.original_url, u.is_active, u.version, u.deleted_at IS NOT NULL AS is_deleted,
    extract(epoch FROM u.expires_at)::float8 AS expires_at, u.max_clicks, u.password_hash,
    u.redirect_status, u.cache_seconds, u.forward_query, u.rules
"""
SELECT_BY_CODE = f"""
    SELECT {_COLUMNS} FROM urls u WHERE u.domain_id = $1 AND u.short_code = $2
    UNION ALL
    SELECT {_COLUMNS} FROM url_aliases a JOIN urls u ON u.id = a.url_id
     WHERE a.domain_id = $1 AND a.short_code = $2
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
    return _record(row)


def _record(row: asyncpg.Record) -> LinkRecord:
    state: LinkState = (
        "deleted" if row["is_deleted"] else "active" if row["is_active"] else "inactive"
    )
    rules = _rules_decoder.decode(row["rules"]) if row["rules"] else ()
    return LinkRecord(
        version=row["version"],
        state=state,
        cached_at=time.time(),
        url_id=row["id"],
        user_id=row["user_id"],
        target=_header_safe(row["original_url"]),
        expires_at=row["expires_at"],
        max_clicks=row["max_clicks"],
        password_hash=row["password_hash"],
        redirect_status=row["redirect_status"] or 302,
        cache_seconds=row["cache_seconds"],
        forward_query=row["forward_query"],
        rules=tuple(
            msgspec.structs.replace(rule, target=_header_safe(rule.target)) for rule in rules
        ),
    )


def _header_safe(target: str) -> str:
    return quote(target, safe=_HEADER_SAFE)  # no row can break a header


COUNT_CLICKS = "SELECT coalesce(sum(clicks), 0)::bigint FROM clicks_hourly WHERE url_id = $1"


async def count_clicks(pool: Pool, url_id: int) -> int:
    """Return the clicks of a link that are stored; raises as `find` does."""
    async with lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        return int(await connection.fetchval(COUNT_CLICKS, url_id))
