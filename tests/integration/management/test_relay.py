import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from management import outbox_repository
from management.relay import Relay
from shared import link_cache, redis_client, streams
from shared.events import (
    LinkChanged,
    LinkRecord,
    RelayHeartbeat,
    encoder,
    link_message_decoder,
)
from shared.postgres import Pool
from shared.tasks import background
from tests import tracing
from tests.conftest import database_url
from tests.faults.proxy import proxy
from tests.redis_cluster import LocalCluster


def change(version: int, code: str = "abc123") -> LinkChanged:
    record = LinkRecord(
        version=version,
        state="active",
        cached_at=0.0,
        url_id=1,
        user_id=1,
        target=f"https://example.com/{version}",
    )
    return LinkChanged(code=code, operation="updated", record=record, committed_at=0.0)


async def leave(pool: Pool, *changes: LinkChanged) -> None:
    """What a writer leaves that died between its commit and its announcement."""
    async with pool.acquire() as connection, connection.transaction():
        await outbox_repository.insert(connection, changes)


async def messages(bus: Redis, kind: type) -> list[Any]:
    entries: Any = await bus.xrange(streams.LINKS)
    decoded = [link_message_decoder.decode(f[streams.LINKS_MESSAGE]) for _, f in entries]
    return [message for message in decoded if isinstance(message, kind)]


async def until(condition: Any, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


@pytest.fixture
def dsn(database: str) -> str:
    server, _, name = database.rpartition("/")
    return database_url(f"{server}/x", name, "shortwire_management")


@asynccontextmanager
async def relaying(dsn: str, cache: Redis, bus: Redis) -> AsyncIterator[None]:
    async with background(Relay(dsn, cache, bus, tracing.off()).run(), name="relay"):
        yield


async def test_what_a_dead_writer_left_is_applied_announced_and_gone(
    dsn: str, pool: Pool, cache: Redis, bus: Redis
):
    await cache.set("u:{1/abc123}", b"1:" + encoder.encode(change(1).record))
    await leave(pool, change(2), change(3))

    async with relaying(dsn, cache, bus):
        await until(lambda: _is_empty(pool))

    assert [c.record.version for c in await messages(bus, LinkChanged)] == [2, 3]
    cached = await link_cache.get(cache, 1, "abc123")
    assert cached is not None
    assert cached.version == 3


async def _is_empty(pool: Pool) -> bool:
    return bool(await pool.fetchval("SELECT count(*) = 0 FROM outbox"))


async def test_a_change_wakes_the_relay_long_before_its_poll(
    dsn: str, pool: Pool, cache: Redis, bus: Redis
):
    async with relaying(dsn, cache, bus):
        await until(lambda: messages(bus, RelayHeartbeat))
        delays = []
        for version in range(1, 6):
            started = asyncio.get_running_loop().time()
            await leave(pool, change(version))
            await until(lambda: _is_empty(pool), 2)
            delays.append(asyncio.get_running_loop().time() - started)

    assert sorted(delays)[2] < 0.25, "half of the poll's period"


async def test_the_heartbeat_comes_from_one_relay_of_many(dsn: str, cache: Redis, bus: Redis):
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(relaying(dsn, cache, bus))
        await until(lambda: messages(bus, RelayHeartbeat))
        before = len(await messages(bus, RelayHeartbeat))
        await asyncio.sleep(2.2)
        beats = len(await messages(bus, RelayHeartbeat)) - before

    assert 1 <= beats <= 3


async def test_another_takes_over_when_the_leaders_line_is_cut(
    dsn: str, pool: Pool, cache: Redis, bus: Redis
):
    async with relaying(dsn, cache, bus), relaying(dsn, cache, bus):
        await until(lambda: messages(bus, RelayHeartbeat))
        await pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks "
            "WHERE locktype = 'advisory' AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        await leave(pool, change(1))

        await until(lambda: _is_empty(pool), 2)


async def test_a_leader_that_fell_silent_loses_the_lead(
    dsn: str, pool: Pool, cache: Redis, bus: Redis
):
    silent = await _silent_leader(dsn)
    await leave(pool, change(1))

    async with relaying(dsn, cache, bus):
        await until(lambda: _is_empty(pool), 3)
    silent.terminate()


async def _silent_leader(dsn: str) -> Any:
    """A leader as a stopped process leaves it: its session open, its lock held."""
    relay = Relay(dsn, None, None, tracing.off())  # type: ignore[arg-type]
    session = relay._session()
    connection = await session.__aenter__()
    assert await outbox_repository.try_lead(connection)
    return connection


async def test_a_cache_that_is_away_does_not_hold_announcements_back(
    dsn: str, pool: Pool, cache: Redis, bus: Redis
):
    nowhere = redis_client.connect(
        "redis://127.0.0.1:1", name="tests", max_connections=1, timeout=1
    )
    await leave(pool, change(1))
    async with relaying(dsn, nowhere, bus):
        await until(lambda: messages(bus, LinkChanged))
        await asyncio.sleep(0.5)

        assert len(await messages(bus, LinkChanged)) == 1, "announced once, tried again quietly"
        assert not await _is_empty(pool), "the cache has yet to take it"

    async with relaying(dsn, cache, bus):
        await until(lambda: _is_empty(pool))
    await nowhere.aclose()


async def test_however_many_changes_wait_for_the_cache_the_next_is_announced(
    dsn: str, pool: Pool, cache: Redis, bus: Redis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outbox_repository, "BATCH_ROWS", 10)
    waiting = [change(number, f"code{number}") for number in range(1, 36)]
    nowhere = redis_client.connect(
        "redis://127.0.0.1:1", name="tests", max_connections=1, timeout=1
    )
    await leave(pool, *waiting)
    async with relaying(dsn, nowhere, bus):
        await until(lambda: _are_announced(bus, len(waiting)))
        await leave(pool, change(99))
        await until(lambda: _are_announced(bus, len(waiting) + 1), 1)
        await asyncio.sleep(1.2)

        assert len(await messages(bus, LinkChanged)) == len(waiting) + 1, "each once"

    await cache.set("u:{1/code35}", b"1:" + encoder.encode(change(1, "code35").record))
    async with relaying(dsn, cache, bus):
        await until(lambda: _is_empty(pool))
    cached = await link_cache.get(cache, 1, "code35")
    assert cached is not None
    assert cached.version == 35
    await nowhere.aclose()


async def test_with_a_node_away_changes_reach_the_others_and_it_when_it_is_back(
    dsn: str, pool: Pool, cluster: LocalCluster, bus: Redis
):
    codes = [f"code{number}" for number in range(30)]
    lost = [code for code in codes if cluster.owner_of(f"u:{{1/{code}}}") == 1]
    cache = redis_client.connect(cluster.url, name="tests", max_connections=4, timeout=1)
    async with cache:
        await cache.get("a")
        cluster.kill(1)
        try:
            await leave(pool, *(change(number, code) for number, code in enumerate(codes, 2)))
            async with relaying(dsn, cache, bus):
                await until(lambda: _are_announced(bus, len(codes)))
                await until(lambda: _is_left(pool, lost))
                await cluster.revive(1)
                await until(lambda: _is_empty(pool), 10)
        finally:
            await cluster.whole()


async def _is_left(pool: Pool, codes: list[str]) -> bool:
    left = await pool.fetch("SELECT short_code FROM outbox ORDER BY id")
    return [row["short_code"] for row in left] == codes


async def test_what_the_cache_missed_it_is_told_when_it_is_back(
    dsn: str, pool: Pool, cache_url: str, cache: Redis, bus: Redis
):
    port = urlsplit(cache_url).port
    assert port is not None
    async with proxy(port) as line:
        url = cache_url.replace(str(port), str(line.port))
        through = redis_client.connect(url, name="tests", max_connections=4, timeout=1)
        line.is_black_hole = True
        await cache.set("u:{1/abc123}", b"1:" + encoder.encode(change(1).record))
        await leave(pool, *(change(number) for number in range(2, 8)))
        async with relaying(dsn, through, bus):
            await until(lambda: _are_announced(bus, 6), 3)  # not a time limit for each
            line.heal()
            await until(lambda: _is_empty(pool))
        await through.aclose()

    cached = await link_cache.get(cache, 1, "abc123")
    assert cached is not None
    assert cached.version == 7


async def _are_announced(bus: Redis, count: int) -> bool:
    return len(await messages(bus, LinkChanged)) >= count


async def test_a_bus_that_is_away_leaves_the_row_for_later(
    dsn: str, pool: Pool, cache: Redis, bus: Redis
):
    nowhere = redis_client.connect(
        "redis://127.0.0.1:1", name="tests", max_connections=1, timeout=1
    )
    await leave(pool, change(1))
    async with relaying(dsn, cache, nowhere):
        await asyncio.sleep(0.5)
        assert not await _is_empty(pool)

    async with relaying(dsn, cache, bus):
        await until(lambda: _is_empty(pool))
    assert len(await messages(bus, LinkChanged)) == 1
    await nowhere.aclose()
