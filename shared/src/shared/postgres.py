"""Connection pools with the limits we rely on."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:  # generic in the stubs only
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

CONNECT_TIMEOUT_SECONDS = 2.0


async def create_pool(
    dsn: str,
    *,
    name: str,
    max_size: int,
    command_timeout: float,
    reset: Callable[[Any], Awaitable[None]] | None = None,
) -> Pool:
    """Return a pool that connects when first used, so that start-up order does not matter.

    `command_timeout` bounds each query in seconds, here and in the server; the wait for a free
    connection is bounded only by `pool.acquire(timeout=…)`.
    """
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=max_size,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=command_timeout,
        reset=reset,
        server_settings={
            "application_name": name,
            "statement_timeout": str(int(command_timeout * 1000)),
            "idle_in_transaction_session_timeout": "10000",
        },
    )
