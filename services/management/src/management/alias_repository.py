"""The `url_aliases` table: further codes of links."""

import asyncpg
import msgspec

from management.errors import Conflict
from management.fields import Moment
from shared.postgres import Connection

MAX_ALIASES = 50  # of one link: each of its changes is announced under each


class Alias(msgspec.Struct, frozen=True):
    """A further code of a URL; the time is UTC, without offset."""

    short_code: str
    created_at: Moment


_COLUMNS = "short_code, created_at AT TIME ZONE 'UTC' AS created_at"

SELECT_OF_URL = f"""
    SELECT {_COLUMNS} FROM url_aliases AS alias WHERE url_id = $1
     ORDER BY alias.created_at, short_code
"""  # noqa: S608


async def find_of_url(connection: Connection, url_id: int) -> list[Alias]:
    """Return a URL's aliases, the oldest first."""
    return msgspec.convert(await connection.fetch(SELECT_OF_URL, url_id), list[Alias])


INSERT = f"""
    INSERT INTO url_aliases (domain_id, short_code, url_id) VALUES ($1, $2, $3)
    RETURNING {_COLUMNS}
"""  # noqa: S608


async def insert(connection: Connection, domain: int, code: str, url_id: int) -> Alias:
    """Add a code to a locked URL; raises `Conflict` where it is taken."""
    try:
        row = await connection.fetchrow(INSERT, domain, code, url_id)
    except asyncpg.UniqueViolationError:
        raise code_taken() from None
    return msgspec.convert(row, Alias)


DELETE = "DELETE FROM url_aliases WHERE url_id = $1 AND short_code = $2"


async def delete(connection: Connection, url_id: int, code: str) -> bool:
    """Take a code from a locked URL; return whether it had it."""
    return await connection.execute(DELETE, url_id, code) != "DELETE 0"


def code_taken() -> Conflict:
    """Return the refusal of a code that a link has, or had before it went into the trash."""
    message = "This short code is taken"
    return Conflict(message, {"short_code": message})


def too_many() -> Conflict:
    """Return the refusal of one alias more than a link may have."""
    return Conflict(f"A URL has at most {MAX_ALIASES} aliases")
