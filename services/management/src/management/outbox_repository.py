"""The `outbox` table: changes that are committed and not yet announced."""

from collections.abc import Sequence

import asyncpg
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


COLUMNS = """
    id, domain_id, short_code, operation, record, traceparent,
    extract(epoch FROM created_at)::float8 AS committed_at
"""
SELECT = f"SELECT {COLUMNS} FROM outbox WHERE id <> ALL($1) ORDER BY id LIMIT $2"  # noqa: S608


async def read(connection: Connection, besides: Sequence[int]) -> list[OutboxRow]:
    """Return the oldest changes but those `besides`, in the order in which links were changed."""
    return [_row(row) for row in await connection.fetch(SELECT, besides, BATCH_ROWS)]


SELECT_THESE = f"SELECT {COLUMNS} FROM outbox WHERE id = ANY($1)"  # noqa: S608


async def read_these(connection: Connection, ids: Sequence[int]) -> list[OutboxRow]:
    """Return some changes, in no order."""
    return [_row(row) for row in await connection.fetch(SELECT_THESE, ids)]


def _row(row: asyncpg.Record) -> OutboxRow:
    return OutboxRow(
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


DELETE = "DELETE FROM outbox WHERE id = ANY($1)"


async def delete(connection: Connection, ids: Sequence[int]) -> None:
    """Remove announced changes."""
    await connection.execute(DELETE, ids)


TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
RELAY_LOCK = 0x5357_5245  # "SWRE"


async def try_lead(connection: Connection) -> bool:
    """Become the one active relay; the lock is held as long as the connection."""
    return bool(await connection.fetchval(TRY_LOCK, RELAY_LOCK))
