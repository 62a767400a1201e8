"""The `outbox` table: changes that are committed and not yet announced."""

from collections.abc import Sequence

import msgspec

from shared.events import LinkChanged, encoder, record_decoder
from shared.postgres import Connection

BATCH_ROWS = 500


class OutboxRow(msgspec.Struct, frozen=True):
    """One change and its place in the order of changes."""

    id: int
    change: LinkChanged


INSERT = """
    INSERT INTO outbox (domain_id, short_code, operation, record, traceparent)
    SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::text[])
"""
NOTIFY = "NOTIFY outbox"


async def insert(connection: Connection, changes: Sequence[LinkChanged]) -> None:
    """Leave changes to be announced after the caller's transaction commits."""
    await connection.execute(
        INSERT,
        [change.domain for change in changes],
        [change.code for change in changes],
        [change.operation for change in changes],
        [encoder.encode(change.record).decode() for change in changes],
        [change.traceparent or None for change in changes],
    )
    await connection.execute(NOTIFY)


SELECT = """
    SELECT id, domain_id, short_code, operation, record, traceparent,
           extract(epoch FROM created_at)::float8 AS committed_at
      FROM outbox ORDER BY id LIMIT $1
"""


async def read(connection: Connection) -> list[OutboxRow]:
    """Return the oldest changes, in the order in which each link was changed."""
    return [
        OutboxRow(
            row["id"],
            LinkChanged(
                code=row["short_code"],
                domain=row["domain_id"],
                operation=row["operation"],
                record=record_decoder.decode(row["record"]),
                committed_at=row["committed_at"],
                traceparent=row["traceparent"] or msgspec.UNSET,
            ),
        )
        for row in await connection.fetch(SELECT, BATCH_ROWS)
    ]


DELETE = "DELETE FROM outbox WHERE id = ANY($1)"


async def delete(connection: Connection, ids: Sequence[int]) -> None:
    """Remove announced changes."""
    await connection.execute(DELETE, ids)


TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
RELAY_LOCK = 0x5357_5245  # "SWRE"


async def try_lead(connection: Connection) -> bool:
    """Become the one active relay; the lock is held as long as the connection."""
    return bool(await connection.fetchval(TRY_LOCK, RELAY_LOCK))
