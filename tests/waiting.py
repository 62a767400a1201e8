"""Waiting for what comes about by itself, and telling whether somebody waits for a test."""

import asyncio
from collections.abc import Callable
from typing import Any

from shared.postgres import Connection

DEADLINE_SECONDS = 10.0


async def eventually(condition: Callable[[], Any], seconds: float = DEADLINE_SECONDS) -> Any:
    """Wait until the (async) condition returns something true, and return that."""
    async with asyncio.timeout(seconds):
        while not (value := await condition()):
            await asyncio.sleep(0.02)
        return value


async def is_waiting(connection: Connection) -> bool:
    """Tell whether somebody waits for a lock in this connection's database."""
    await connection.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees the first
    return bool(
        await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    )
