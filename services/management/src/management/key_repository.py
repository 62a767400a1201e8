"""The `api_keys` table."""

from datetime import datetime

import msgspec

from management.fields import Moment
from shared.postgres import Connection


class Key(msgspec.Struct, frozen=True):
    """A key as the API lists it: never the secret."""

    id: int
    name: str
    prefix: str
    is_admin: bool
    created_at: Moment
    expires_at: Moment | None
    last_used_at: Moment | None


class Credential(msgspec.Struct, frozen=True):
    """What is needed to check a key that was shown to us."""

    id: int
    user_id: int | None
    is_admin: bool
    secret_hash: bytes


_COLUMNS = """
    id, name, prefix, is_admin, created_at AT TIME ZONE 'UTC' AS created_at,
    expires_at AT TIME ZONE 'UTC' AS expires_at, last_used_at AT TIME ZONE 'UTC' AS last_used_at
"""

INSERT = f"""
    INSERT INTO api_keys (user_id, name, prefix, secret_hash, is_admin, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6) RETURNING {_COLUMNS}
"""  # noqa: S608


async def insert(
    connection: Connection,
    *,
    user_id: int | None,
    name: str,
    prefix: str,
    secret_hash: bytes,
    is_admin: bool,
    expires_at: datetime | None,
) -> Key:
    """Add a key; raises `asyncpg.ForeignKeyViolationError` for an unknown user."""
    row = await connection.fetchrow(
        INSERT, user_id, name, prefix, secret_hash, is_admin, expires_at
    )
    return msgspec.convert(row, Key)


SELECT_OF_USER = f"""
    SELECT {_COLUMNS} FROM api_keys WHERE user_id = $1 AND revoked_at IS NULL ORDER BY id LIMIT 1000
"""  # noqa: S608


async def find_of_user(connection: Connection, user_id: int) -> list[Key]:
    """Return a user's keys that are not revoked."""
    return msgspec.convert(await connection.fetch(SELECT_OF_USER, user_id), list[Key])


REVOKE = """
    UPDATE api_keys SET revoked_at = now()
     WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL RETURNING id
"""


async def revoke(connection: Connection, key_id: int, user_id: int) -> bool:
    """Make a key useless from now on; return whether it was there."""
    return await connection.fetchval(REVOKE, key_id, user_id) is not None


# Noted once a minute at most: a row written at each request would be hotter than any link's.
SELECT_CREDENTIAL = """
    WITH found AS (
        SELECT id, user_id, is_admin, secret_hash, last_used_at FROM api_keys
         WHERE prefix = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
    ), noted AS (
        UPDATE api_keys SET last_used_at = now()
         WHERE id = (SELECT id FROM found
                      WHERE last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
    )
    SELECT id, user_id, is_admin, secret_hash FROM found
"""


async def find_credential(connection: Connection, prefix: str) -> Credential | None:
    """Return the valid key of that prefix, or None."""
    row = await connection.fetchrow(SELECT_CREDENTIAL, prefix)
    return None if row is None else msgspec.convert(row, Credential)


HAS_ADMIN = """
    SELECT EXISTS (SELECT FROM api_keys
                    WHERE is_admin AND revoked_at IS NULL
                      AND (expires_at IS NULL OR expires_at > now()))
"""


async def has_admin(connection: Connection) -> bool:
    """Tell whether some admin key is valid."""
    return bool(await connection.fetchval(HAS_ADMIN))
