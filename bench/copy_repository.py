"""The least that storing clicks can cost: COPY of ready rows into a table with the same indexes."""

import io
import time

from shared.postgres import Connection

MAKE_TABLE = "CREATE TABLE IF NOT EXISTS bench_copy (LIKE events INCLUDING ALL)"
EMPTY = "TRUNCATE bench_copy"
SELECT_ROWS = """
    SELECT at, event_id, event_type, url_id, user_id, details
      FROM events WHERE event_type = 'redirect' AND id > $1 ORDER BY at, event_id LIMIT $2
"""
COLUMNS = ["at", "event_id", "event_type", "url_id", "user_id", "details"]
COPY_SECONDS = 300.0


async def prepare(connection: Connection, last: int, rows: int) -> io.BytesIO:
    """Make the table, and return some stored clicks as COPY takes them."""
    await connection.execute(MAKE_TABLE)
    content = io.BytesIO()
    await connection.copy_from_query(
        SELECT_ROWS, last, rows, output=content, format="binary", timeout=COPY_SECONDS
    )
    return content


async def copy(connection: Connection, content: io.BytesIO) -> float:
    """Return the seconds that COPY took, its commit included."""
    await connection.execute(EMPTY)
    content.seek(0)
    began = time.perf_counter()
    await connection.copy_to_table(
        "bench_copy", source=content, columns=COLUMNS, format="binary", timeout=COPY_SECONDS
    )
    return time.perf_counter() - began
