"""The `idempotency_keys` table: what was answered under which key."""

import json
from collections.abc import Mapping
from datetime import datetime

import msgspec

from shared.postgres import Connection


class Kept(msgspec.Struct, frozen=True):
    """What is known of a key; there is no status while its first request is being carried out."""

    fingerprint: bytes
    status: int | None
    headers: Mapping[str, str]
    body: bytes | None


CLAIM = """
    INSERT INTO idempotency_keys AS kept (key_hash, fingerprint) VALUES ($1, $2)
        ON CONFLICT (key_hash) DO UPDATE
       SET fingerprint = excluded.fingerprint, claimed_at = clock_timestamp(), status = NULL,
           headers = NULL, body = NULL
     WHERE kept.claimed_at < now() - make_interval(secs => $3)
        OR kept.status IS NULL AND kept.claimed_at < now() - make_interval(secs => $4)
    RETURNING claimed_at
"""


async def claim(
    connection: Connection, key_hash: bytes, fingerprint: bytes, kept: float, unanswered: float
) -> datetime | None:
    """Take a key that is free, older than `kept` seconds, or `unanswered` for so many.

    Returns when it was taken, or None.
    """
    moment: datetime | None = await connection.fetchval(
        CLAIM, key_hash, fingerprint, kept, unanswered
    )
    return moment


FIND = """
    SELECT fingerprint, status, coalesce(headers, '{}')::text AS headers, body
      FROM idempotency_keys WHERE key_hash = $1
"""


async def find(connection: Connection, key_hash: bytes) -> Kept | None:
    """Return what is known of a key."""
    row = await connection.fetchrow(FIND, key_hash)
    if row is None:
        return None
    return Kept(row["fingerprint"], row["status"], json.loads(row["headers"]), row["body"])


KEEP = """
    UPDATE idempotency_keys SET status = $3, headers = $4::text::jsonb, body = $5
     WHERE key_hash = $1 AND claimed_at = $2
"""


async def keep(
    connection: Connection,
    key_hash: bytes,
    claimed_at: datetime,
    *,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
) -> None:
    """Write down the answer to the request that took the key at `claimed_at`."""
    await connection.execute(KEEP, key_hash, claimed_at, status, json.dumps(headers), body)


RELEASE = "DELETE FROM idempotency_keys WHERE key_hash = $1 AND claimed_at = $2"


async def release(connection: Connection, key_hash: bytes, claimed_at: datetime) -> None:
    """Forget a key whose request changed nothing."""
    await connection.execute(RELEASE, key_hash, claimed_at)


PURGE = """
    DELETE FROM idempotency_keys WHERE key_hash IN (
        SELECT key_hash FROM idempotency_keys
         WHERE claimed_at < now() - make_interval(secs => $1)
         ORDER BY claimed_at LIMIT $2 FOR UPDATE SKIP LOCKED)
"""


async def purge(connection: Connection, kept: float, limit: int) -> None:
    """Forget up to `limit` of the keys that are older than `kept` seconds."""
    await connection.execute(PURGE, kept, limit)
