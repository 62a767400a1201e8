"""Counts the events that this design has stored."""

from shared.postgres import Connection

LAST_ID = "SELECT coalesce(max(id), 0) FROM baseline_events"
COUNT = "SELECT count(*) FROM baseline_events WHERE id > $1"


async def last_id(connection: Connection) -> int:
    """Return an id that no later event has."""
    return int(await connection.fetchval(LAST_ID))


async def count_since(connection: Connection, last: int) -> int:
    """Return how many events were stored after `last`."""
    return int(await connection.fetchval(COUNT, last))
