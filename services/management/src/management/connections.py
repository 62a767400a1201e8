"""A connection or a transaction of the pool, with the limit on the wait for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.checkpoints import checkpoint
from shared.postgres import Connection, Pool, lend

ACQUIRE_TIMEOUT_SECONDS = 1.0  # a caller who waits longer is better told to come back


@asynccontextmanager
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    """Lend a connection."""
    with checkpoint("db_read"):
        async with lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as lent:
            yield lent


@asynccontextmanager
async def snapshot(pool: Pool) -> AsyncIterator[Connection]:
    """Lend a connection that sees one moment, whatever is written meanwhile."""
    async with (
        lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as lent,
        lent.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield lent


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """Lend a connection for one transaction: committed at the end of the block, or not at all."""
    with checkpoint("db_write"):
        async with lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as lent, lent.transaction():
            yield lent
