"""What the management API promises while its stores fail."""

import asyncio

import asyncpg
from redis.asyncio import Redis

from shared.postgres import Pool
from tests.faults.test_redirector import before
from tests.integration.management.conftest import Api, Start, api, start

__all__ = ["api", "start"]  # fixtures

END_SESSIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE usename = 'shortwire_management' AND datname = current_database()
"""


async def test_no_acknowledged_update_is_lost_when_all_sessions_are_ended(api: Api, pool: Pool):
    url = await api.url(await api.user())
    path = f"/urls/{url['id']}"
    statuses = []
    acknowledged = ""

    async def disturb() -> None:
        while True:
            await asyncio.sleep(0.15)
            await pool.execute(END_SESSIONS)

    disturbing = asyncio.ensure_future(disturb())
    for number in range(150):
        answer = await api.put(path, {"title": str(number)})
        statuses.append(answer.status)
        if answer.status == 200:
            acknowledged = str(number)
            assert (await pool.fetchval("SELECT title FROM urls")) == acknowledged
    disturbing.cancel()

    assert set(statuses) <= {200, 503}
    assert statuses.count(200) > 75
    updates = await pool.fetchval("SELECT count(*) FROM events WHERE event_type = 'updated'")
    assert updates >= statuses.count(200)


async def test_an_update_is_acknowledged_without_cache_and_bus(
    start: Start, cache_url: str, bus_url: str, bus: Redis, pool: Pool
):
    async with (
        before(cache_url) as (cache_line, cache_through),
        before(bus_url) as (bus_line, bus_through),
        start(cache_url=cache_through, bus_url=bus_through) as api,
    ):
        url = await api.url(await api.user())
        for line in (cache_line, bus_line):
            line.is_black_hole = True

        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = await api.put(f"/urls/{url['id']}", {"title": "B"})
        seconds = loop.time() - began
        for line in (cache_line, bus_line):
            line.heal()

        assert answer.status == 200
        assert seconds < 1.0

        async def is_announced() -> bool:
            return bool(await pool.fetchval("SELECT count(*) = 0 FROM outbox"))

        async with asyncio.timeout(10):
            while not await is_announced():
                await asyncio.sleep(0.05)
    assert await bus.xlen("links") > 0


async def test_a_stopped_database_is_a_503_in_time_and_not_a_pile_of_waiting_requests(
    start: Start, database: str
):
    server, _, name = database.rpartition("/")
    role = f"postgres://shortwire_management:tests-only@{server.rpartition('@')[2]}"
    async with before(role) as (line, through):
        # Without asking for TLS: asyncpg reports a line that is lost while it asks to nobody.
        dsn = f"{through}/{name}?sslmode=disable"
        async with start(postgres_dsn=dsn) as api:
            assert (await api.get("/users")).status == 200
            line.is_black_hole = True

            loop = asyncio.get_running_loop()
            began = loop.time()
            answers = await asyncio.gather(*(api.get("/users") for _ in range(20)))
            seconds = loop.time() - began
            line.heal()

            assert {answer.status for answer in answers} == {503}
            assert all(answer.headers["retry-after"] for answer in answers)
            assert seconds < 8.0
            async with asyncio.timeout(10):
                while (await api.get("/users")).status != 200:
                    await asyncio.sleep(0.05)


async def test_a_migration_under_load_fails_no_request(api: Api, database: str):
    url = await api.url(await api.user())
    connection = await asyncpg.connect(database)
    statuses: list[int] = []

    async def load() -> None:
        while True:
            statuses.append((await api.get("/urls")).status)
            statuses.append((await api.put(f"/urls/{url['id']}", {"title": "T"})).status)

    loading = asyncio.ensure_future(load())
    for number in range(5):
        await asyncio.sleep(0.1)
        await connection.execute("SET lock_timeout = '2s'")
        await connection.execute(f"ALTER TABLE urls ADD COLUMN later_{number} text")
    await asyncio.sleep(0.2)
    loading.cancel()
    await connection.close()

    assert set(statuses) == {200}
    assert len(statuses) > 20
