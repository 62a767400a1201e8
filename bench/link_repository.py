"""Links made by the million, straight into the table: no redirector has asked for them yet."""

from bench.links import TARGET
from shared.postgres import Connection

ENSURE_USER = """
    INSERT INTO users (id, username, email) VALUES (1, 'bench', 'bench@example.com')
        ON CONFLICT DO NOTHING
"""
# As `bench.links.code` names them.
INSERT_LINKS = """
    INSERT INTO urls (short_code, user_id, original_url)
    SELECT 'l' || lpad(number::text, 8, '0'), 1, $3
      FROM generate_series($1::bigint, $2::bigint - 1) AS number
"""
ANALYZE = "ANALYZE urls"

INSERT_SECONDS = 600.0


async def add(connection: Connection, first: int, end: int) -> None:
    """Insert the links numbered from `first` to before `end`."""
    await connection.execute(ENSURE_USER)
    await connection.execute(INSERT_LINKS, first, end, TARGET, timeout=INSERT_SECONDS)


async def analyze(connection: Connection) -> None:
    """Let the planner know how many there are."""
    await connection.execute(ANALYZE, timeout=INSERT_SECONDS)
