"""The `users` table."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
import msgspec

from management.errors import Conflict, Invalid
from management.fields import Moment
from management.pages import Page
from shared.postgres import Connection


class User(msgspec.Struct, frozen=True):
    """A user as the API shows it; times are UTC, without offset."""

    id: int
    username: str
    email: str
    created_at: Moment


class ImportedUser(msgspec.Struct, frozen=True):
    """A row of a CSV file; `line` is its number there."""

    line: int
    id: int
    username: str
    email: str
    created_at: datetime


_COLUMNS = "id, username, email, created_at AT TIME ZONE 'UTC' AS created_at"

INSERT = f"INSERT INTO users (username, email) VALUES ($1, $2) RETURNING {_COLUMNS}"  # noqa: S608


async def insert(connection: Connection, username: str, email: str) -> User:
    """Add a user; raises `Conflict` where name or address is taken."""
    try:
        row = await connection.fetchrow(INSERT, username, email)
    except asyncpg.UniqueViolationError as error:
        raise _conflict(error) from None
    return msgspec.convert(row, User)


SELECT = f"SELECT {_COLUMNS} FROM users WHERE id = $1"  # noqa: S608


async def find(connection: Connection, user_id: int) -> User | None:
    """Return the user, or None."""
    row = await connection.fetchrow(SELECT, user_id)
    return None if row is None else msgspec.convert(row, User)


SELECT_PAGE = f"""
    SELECT {_COLUMNS} FROM users WHERE id > $1 ORDER BY id LIMIT $2 OFFSET $3
"""  # noqa: S608


async def find_page(connection: Connection, page: Page) -> list[User]:
    """Return the page's users, and one more where there is a next page."""
    rows = await connection.fetch(SELECT_PAGE, page.after, page.limit + 1, page.offset)
    return msgspec.convert(rows, list[User])


UPDATE = f"""
    UPDATE users SET username = coalesce($2, username), email = coalesce($3, email)
     WHERE id = $1 RETURNING {_COLUMNS}
"""  # noqa: S608


async def update(
    connection: Connection, user_id: int, username: str | None, email: str | None
) -> User | None:
    """Change what is given; raises `Conflict` where name or address is taken."""
    try:
        row = await connection.fetchrow(UPDATE, user_id, username, email)
    except asyncpg.UniqueViolationError as error:
        raise _conflict(error) from None
    return None if row is None else msgspec.convert(row, User)


LOCK = "SELECT id FROM users WHERE id = $1 FOR UPDATE"
DELETE = "DELETE FROM users WHERE id = $1"


async def lock(connection: Connection, user_id: int) -> bool:
    """Keep the user from being changed, or given links, until the transaction ends."""
    return await connection.fetchval(LOCK, user_id) is not None


async def delete(connection: Connection, user_id: int) -> None:
    """Remove the row; the user's live links must be in the trash by now."""
    await connection.execute(DELETE, user_id)


IMPORT = """
    INSERT INTO users (id, username, email, created_at)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[])
        ON CONFLICT DO NOTHING
"""
# A row that is not there now, as it was given, was refused for a row that has its id, name or
# address.
SELECT_REFUSED = """
    SELECT given.line, existing.id IS NOT DISTINCT FROM given.id AS has_id,
           existing.username = given.username AS has_username
      FROM unnest($1::int[], $2::bigint[], $3::text[], $4::text[])
           AS given (line, id, username, email)
      JOIN users AS existing
        ON existing.id = given.id
        OR existing.username = given.username
        OR lower(existing.email) = lower(given.email)
     WHERE (existing.id, existing.username, lower(existing.email))
           IS DISTINCT FROM (given.id, given.username, lower(given.email))
     ORDER BY given.line
     LIMIT 1
"""
ADVANCE_SEQUENCE = """
    SELECT setval('users_id_seq', greatest((SELECT max(id) FROM users), last_value))
      FROM users_id_seq
     WHERE EXISTS (SELECT FROM users)
"""


async def import_all(connection: Connection, users: Sequence[ImportedUser]) -> None:
    """Add users with their ids; one that is there already, as it is given, is left as it is.

    Raises `Invalid`, naming line and field, where another user has the id, name or address.
    """
    lines = [user.line for user in users]
    ids = [user.id for user in users]
    names = [user.username for user in users]
    emails = [user.email for user in users]
    await connection.execute(IMPORT, ids, names, emails, [user.created_at for user in users])
    refused = await connection.fetchrow(SELECT_REFUSED, lines, ids, names, emails)
    if refused is not None:
        field = "id" if refused["has_id"] else "username" if refused["has_username"] else "email"
        message = f"Line {refused['line']}: {field} is taken by another user"
        raise Invalid(message, {field: message})
    await connection.execute(ADVANCE_SEQUENCE)


def _conflict(error: asyncpg.UniqueViolationError) -> Conflict:
    field = "email" if "email" in str(error.constraint_name) else "username"
    message = f"This {field} is taken"
    return Conflict(message, {field: message})
