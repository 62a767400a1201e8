"""Counts stored clicks: the proof that each answered redirect was recorded."""

from shared.postgres import Connection

# Ids are given in order, so those of a round are at the end of an index.
LAST_ID = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_id_seq"
COUNT_CLICKS = "SELECT count(*) FROM events WHERE id > $1 AND event_type = 'redirect'"


async def last_id(connection: Connection) -> int:
    """Return an id that no later click has."""
    return int(await connection.fetchval(LAST_ID))


async def count_since(connection: Connection, last: int) -> int:
    """Return how many clicks were stored after `last`."""
    return int(await connection.fetchval(COUNT_CLICKS, last))
