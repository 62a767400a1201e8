"""The `reserved_codes` table: words that no link may have as its code, in lower case."""

import msgspec

from management.fields import Moment
from management.pages import Page
from shared.postgres import Connection


class ReservedCode(msgspec.Struct, frozen=True):
    """A code that no new link may have, in whatever case; the time is UTC."""

    id: int
    short_code: str
    created_at: Moment


_COLUMNS = "id, short_code, created_at AT TIME ZONE 'UTC' AS created_at"

SELECT_PAGE = f"""
    SELECT {_COLUMNS} FROM reserved_codes WHERE id > $1 ORDER BY id LIMIT $2 OFFSET $3
"""  # noqa: S608


async def find_page(connection: Connection, page: Page) -> list[ReservedCode]:
    """Return the page's codes, and one more where there is a next page."""
    rows = await connection.fetch(SELECT_PAGE, page.after, page.limit + 1, page.offset)
    return msgspec.convert(rows, list[ReservedCode])


INSERT = f"""
    INSERT INTO reserved_codes (short_code) VALUES (lower($1))
        ON CONFLICT (short_code) DO UPDATE SET short_code = excluded.short_code
    RETURNING {_COLUMNS}
"""  # noqa: S608


async def insert(connection: Connection, code: str) -> ReservedCode:
    """Reserve a code; repeating it is harmless."""
    return msgspec.convert(await connection.fetchrow(INSERT, code), ReservedCode)


DELETE = "DELETE FROM reserved_codes WHERE short_code = lower($1) RETURNING id"


async def delete(connection: Connection, code: str) -> int | None:
    """Free a code; return the reservation's id, or None where there was none."""
    reserved_id: int | None = await connection.fetchval(DELETE, code)
    return reserved_id


SELECT = "SELECT FROM reserved_codes WHERE short_code = lower($1)"


async def is_reserved(connection: Connection, code: str) -> bool:
    """Tell whether no new link may have this code."""
    return await connection.fetchrow(SELECT, code) is not None
