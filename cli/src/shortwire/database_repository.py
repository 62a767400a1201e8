"""The database as a whole: made where it is missing, and what a newcomer's next id is."""

import asyncpg

CONNECT_TIMEOUT_SECONDS = 5.0

SELECT_DATABASE = "SELECT 1 FROM pg_database WHERE datname = $1"
FORMAT_CREATE_DATABASE = "SELECT format('CREATE DATABASE %I', $1::text)"


async def create(server_dsn: str, name: str) -> None:
    """Make the database `name` unless it is there."""
    connection = await asyncpg.connect(server_dsn, timeout=CONNECT_TIMEOUT_SECONDS)
    try:
        if not await connection.fetchval(SELECT_DATABASE, name):
            await connection.execute(await connection.fetchval(FORMAT_CREATE_DATABASE, name))
    finally:
        await connection.close()


SELECT_NEXT_USER_ID = "SELECT last_value + is_called::int FROM users_id_seq"


async def next_user_id(dsn: str) -> int:
    """Return the id that the next new user gets, unless another one is made before."""
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_SECONDS)
    try:
        return int(await connection.fetchval(SELECT_NEXT_USER_ID))
    finally:
        await connection.close()
