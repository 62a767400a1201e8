"""The `urls` table, as the redirector reads it."""

import time
from urllib.parse import quote

from shared.events import LinkRecord, LinkState
from shared.postgres import Pool

ACQUIRE_TIMEOUT_SECONDS = 0.5  # a visitor who waits longer is better told to come back
_HEADER_SAFE = "".join(map(chr, range(0x21, 0x7F)))

SELECT_BY_CODE = """
    SELECT id, user_id, original_url, is_active, version, deleted_at IS NOT NULL AS is_deleted
      FROM urls
     WHERE domain_id = $1
       AND short_code = $2
"""


async def find(pool: Pool, domain: int, code: str) -> LinkRecord:
    """Return what is behind `code`; its state is `unknown` where there is no row.

    Raises one of `shared.errors.DATABASE_UNAVAILABLE`; the query's own limit is the pool's.
    """
    async with pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        row = await connection.fetchrow(SELECT_BY_CODE, domain, code)
    if row is None:
        return LinkRecord(version=0, state="unknown", cached_at=time.time())
    state: LinkState = (
        "deleted" if row["is_deleted"] else "active" if row["is_active"] else "inactive"
    )
    return LinkRecord(
        version=row["version"],
        state=state,
        cached_at=time.time(),
        url_id=row["id"],
        user_id=row["user_id"],
        target=quote(row["original_url"], safe=_HEADER_SAFE),  # no row can break a header
    )
