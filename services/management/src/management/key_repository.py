"""The `api_keys` table."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from management.errors import Conflict
from management.fields import Moment
from management.scopes import Scope
from shared.postgres import Connection

MAX_OF_USER = 100  # keys that are not revoked


class Key(msgspec.Struct, frozen=True):
    """A key as the API lists it: never the secret."""

    id: int
    name: str
    prefix: str
    scope: Scope
    is_admin: bool
    created_at: Moment
    expires_at: Moment | None
    last_used_at: Moment | None


class ListedKey(Key, frozen=True):
    """A key as an operator lists it: of anybody, revoked ones too where asked for."""

    user_id: int | None
    username: str | None
    revoked_at: Moment | None


class Credential(msgspec.Struct, frozen=True):
    """What is needed to check a key that was shown to us."""

    id: int
    user_id: int | None
    scope: Scope
    expires_at: datetime | None
    secret_hash: bytes


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key to be stored."""

    user_id: int | None
    name: str
    prefix: str
    secret_hash: bytes
    scope: Scope
    expires_at: datetime | None


_SCOPE = "CASE WHEN is_admin THEN 'admin' WHEN is_read_only THEN 'read' ELSE 'write' END AS scope"
_COLUMNS = f"""
    k.id, name, prefix, {_SCOPE}, is_admin, k.created_at AT TIME ZONE 'UTC' AS created_at,
    expires_at AT TIME ZONE 'UTC' AS expires_at, last_used_at AT TIME ZONE 'UTC' AS last_used_at
"""

INSERT = f"""
    INSERT INTO api_keys AS k
           (user_id, name, prefix, secret_hash, is_admin, is_read_only, expires_at)
    SELECT $1, $2, $3, $4, $5 = 'admin', $5 = 'read', $6
     WHERE (SELECT count(*) FROM api_keys
             WHERE user_id = $1 AND revoked_at IS NULL) < {MAX_OF_USER}
    RETURNING {_COLUMNS}
"""  # noqa: S608


async def insert(connection: Connection, new: NewKey) -> Key:
    """Add a key; raises `asyncpg.ForeignKeyViolationError` for an unknown user.

    Raises `Conflict` where the user has too many.
    """
    row = await connection.fetchrow(
        INSERT, new.user_id, new.name, new.prefix, new.secret_hash, new.scope, new.expires_at
    )
    if row is None:
        raise Conflict(f"A user has at most {MAX_OF_USER} keys: revoke one that is not needed")
    return msgspec.convert(row, Key)


SELECT_OF_USER = f"""
    SELECT {_COLUMNS} FROM api_keys AS k
     WHERE user_id = $1 AND revoked_at IS NULL ORDER BY id LIMIT 1000
"""  # noqa: S608


async def find_of_user(connection: Connection, user_id: int) -> list[Key]:
    """Return a user's keys that are not revoked."""
    return msgspec.convert(await connection.fetch(SELECT_OF_USER, user_id), list[Key])


SELECT_ALL = f"""
    SELECT {_COLUMNS}, user_id, username, revoked_at AT TIME ZONE 'UTC' AS revoked_at
      FROM api_keys AS k LEFT JOIN users AS owner ON owner.id = user_id
     WHERE ($1::bigint IS NULL OR user_id = $1) AND ($2 OR revoked_at IS NULL)
     ORDER BY k.id
"""  # noqa: S608


async def find_all(
    connection: Connection, user_id: int | None, *, with_revoked: bool
) -> list[ListedKey]:
    """Return everybody's keys, or a user's."""
    rows = await connection.fetch(SELECT_ALL, user_id, with_revoked)
    return msgspec.convert(rows, list[ListedKey])


OWNER = "SELECT user_id FROM api_keys WHERE id = $1"


async def owner_of(connection: Connection, key_id: int) -> int | None:
    """Return whose key it is, revoked or not; None for nobody's."""
    user_id: int | None = await connection.fetchval(OWNER, key_id)
    return user_id


REVOKE = """
    UPDATE api_keys SET revoked_at = now()
     WHERE id = $1 AND ($2::bigint IS NULL OR user_id = $2) AND revoked_at IS NULL RETURNING id
"""


async def revoke(connection: Connection, key_id: int, user_id: int | None) -> bool:
    """Make a key, of `user_id` if given, useless from now on; return whether it was there."""
    return await connection.fetchval(REVOKE, key_id, user_id) is not None


SELECT_CREDENTIAL = f"""
    SELECT id, user_id, {_SCOPE}, expires_at, secret_hash FROM api_keys
     WHERE prefix = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""  # noqa: S608


async def find_credential(connection: Connection, prefix: str) -> Credential | None:
    """Return the valid key of that prefix, or None."""
    row = await connection.fetchrow(SELECT_CREDENTIAL, prefix)
    return None if row is None else msgspec.convert(row, Credential)


# At most once a minute: a row written at each request would be hotter than any link's. Locked in
# one order, and what another process is writing is left to it.
NOTE_USES = """
    WITH used AS (
        SELECT * FROM unnest($1::bigint[], $2::timestamptz[]) AS used (id, at)
    ), due AS (
        SELECT k.id, used.at FROM api_keys AS k JOIN used USING (id)
         WHERE last_used_at IS NULL OR last_used_at < used.at - interval '1 minute'
         ORDER BY k.id FOR UPDATE OF k SKIP LOCKED
    )
    UPDATE api_keys AS k SET last_used_at = due.at FROM due WHERE due.id = k.id
"""


async def note_uses(
    connection: Connection, key_ids: Sequence[int], moments: Sequence[datetime]
) -> None:
    """Write when each key was used, unless a use within the minute before is written."""
    await connection.execute(NOTE_USES, key_ids, moments)


HAS_ADMIN = """
    SELECT EXISTS (SELECT FROM api_keys
                    WHERE is_admin AND revoked_at IS NULL
                      AND (expires_at IS NULL OR expires_at > now()))
"""


async def has_admin(connection: Connection) -> bool:
    """Tell whether some admin key is valid."""
    return bool(await connection.fetchval(HAS_ADMIN))
