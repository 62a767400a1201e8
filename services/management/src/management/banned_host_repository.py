"""The `banned_hosts` table, and the links that lead to one of its hosts."""

import re
from collections.abc import Collection

import msgspec

from management.fields import Moment
from management.pages import Page
from shared.postgres import Connection


class BannedHost(msgspec.Struct, frozen=True):
    """A host that no link may lead to, nor to a subdomain of it; the time is UTC."""

    id: int
    host: str
    created_at: Moment


_COLUMNS = "id, host, created_at AT TIME ZONE 'UTC' AS created_at"

SELECT_PAGE = f"""
    SELECT {_COLUMNS} FROM banned_hosts WHERE id > $1 ORDER BY id LIMIT $2 OFFSET $3
"""  # noqa: S608


async def find_page(connection: Connection, page: Page) -> list[BannedHost]:
    """Return the page's hosts, and one more where there is a next page."""
    rows = await connection.fetch(SELECT_PAGE, page.after, page.limit + 1, page.offset)
    return msgspec.convert(rows, list[BannedHost])


INSERT = f"""
    INSERT INTO banned_hosts (host) VALUES ($1)
        ON CONFLICT (host) DO UPDATE SET host = excluded.host
    RETURNING {_COLUMNS}
"""  # noqa: S608


async def insert(connection: Connection, host: str) -> BannedHost:
    """Ban a host; repeating it is harmless."""
    return msgspec.convert(await connection.fetchrow(INSERT, host), BannedHost)


DELETE = "DELETE FROM banned_hosts WHERE host = $1 RETURNING id"


async def delete(connection: Connection, host: str) -> int | None:
    """Lift a ban; return its id, or None where there was none."""
    ban_id: int | None = await connection.fetchval(DELETE, host)
    return ban_id


SELECT_BANNED = "SELECT host FROM banned_hosts WHERE host = ANY($1)"


async def find_banned(connection: Connection, hosts: Collection[str]) -> set[str]:
    """Return which of `hosts` are banned themselves."""
    return {row["host"] for row in await connection.fetch(SELECT_BANNED, list(hosts))}


LAST_ID = "SELECT coalesce(max(id), 0) FROM urls"
SELECT_LEADING = """
    SELECT id FROM urls
     WHERE id > $1 AND id <= $2 AND deleted_at IS NULL AND is_active
       AND (original_url ~* ('^' || $3) OR expired_url ~* ('^' || $3)
            OR rules::text ~* ('"target": "' || $3))
     ORDER BY id
"""


async def last_url_id(connection: Connection) -> int:
    """Return the highest id of a URL."""
    return int(await connection.fetchval(LAST_ID))


async def find_leading(connection: Connection, host: str, after: int, until: int) -> list[int]:
    """Return the active URLs of an interval of ids that lead to `host` or a subdomain of it."""
    pattern = rf'https?://([^/?#"]*\.)?{re.escape(host)}(:[0-9]+)?([/?#"]|$)'
    return [row["id"] for row in await connection.fetch(SELECT_LEADING, after, until, pattern)]
