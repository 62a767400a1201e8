"""event-ingest as a process: killed, stopped, cut off, and started before its stores."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import pytest
from redis.asyncio import Redis

from bench.bus import is_acknowledged
from event_ingest.replay_dead import replay
from shared import streams
from shared.errors import REDIS_ERRORS
from shared.postgres import Pool
from shortwire.servers import free_port
from tests.conftest import database_url
from tests.faults.test_redirector import before
from tests.integration.event_ingest.conftest import add, click, pending, publish, stored

SECONDS = float(os.environ.get("SOAK_SECONDS", "6"))
DEADLINE_SECONDS = 30.0

Run = Callable[..., AbstractAsyncContextManager[asyncio.subprocess.Process]]


@pytest.fixture
def dsn(database: str) -> str:
    server, _, name = database.rpartition("/")
    return database_url(f"{server}/x", name, "shortwire_ingest")


@pytest.fixture
def run(dsn: str, bus_url: str) -> Run:
    """Starts event-ingest; what is still running at the end is killed."""

    @asynccontextmanager
    async def started(
        name: str = "ingest-1", **environ: str
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "event_ingest",
            env={
                **os.environ,
                "POSTGRES_DSN": dsn,
                "BUS_URL": bus_url,
                "CONSUMER": name,
                "METRICS_PORT": str(free_port()),
                "CLAIM_IDLE_SECONDS": "1",
                **environ,
            },
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    return started


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await condition():
            await asyncio.sleep(0.05)


async def is_all_stored(pool: Pool, bus: Redis, count: int) -> bool:
    return await stored(pool) == (count, count) and await pending(bus) == 0


async def is_settled(bus: Redis) -> bool:
    try:
        return await is_acknowledged(bus)
    except REDIS_ERRORS:  # a connection to a node that was killed
        return False


async def send_to_the_killed(
    run: Run,
    bus: Redis,
    pool: Pool,
    send: Callable[[random.Random], Awaitable[int]],
    meanwhile: Coroutine[object, object, object],
) -> None:
    """Send clicks while consumers live and are killed, until `meanwhile` ends; all are stored."""
    chance = random.Random(7)
    stop = asyncio.Event()
    total = 0

    async def load() -> None:
        nonlocal total
        while not stop.is_set():
            total += await send(chance)
            await asyncio.sleep(0.01)

    async def live(name: str) -> None:
        while not stop.is_set():
            async with run(name):
                await asyncio.sleep(chance.uniform(0.5, 1.5))  # and is killed

    async with asyncio.TaskGroup() as group:
        for work in (load(), live("one"), live("two")):
            group.create_task(work)
        await meanwhile
        stop.set()

    async with run("one"), run("two"):
        await until(lambda: is_settled(bus))
        await replay(bus, 1_000, dry_run=False)  # what was given to too many that were killed
        await until(lambda: is_settled(bus))
    assert await stored(pool) == (total, total)
    assert total > 500


async def test_killed_again_and_again_under_load_it_stores_each_click_once(
    run: Run, bus: Redis, pool: Pool
):
    async def send(chance: random.Random) -> int:
        clicks = [click() for _ in range(20)]
        await publish(bus, clicks)
        if chance.random() < 0.1:
            await publish(bus, clicks)  # a frame whose outcome was unknown
        return len(clicks)

    await send_to_the_killed(run, bus, pool, send, asyncio.sleep(SECONDS))


async def test_killed_between_commit_and_acknowledgement_it_stores_nothing_twice(
    run: Run, bus: Redis, bus_url: str, pool: Pool
):
    async with before(bus_url) as (line, url), run(BUS_URL=url) as process:
        await publish(bus, [click()])
        await until(lambda: is_all_stored(pool, bus, 1))
        # The next batch is delivered as the reply to a read that waits already; what the
        # consumer sends after it, the acknowledgement, never arrives.
        line.drops_requests = True
        await publish(bus, [click() for _ in range(9)])

        async def is_committed() -> bool:
            return await stored(pool) == (10, 10)

        await until(is_committed)
        process.kill()
    assert await pending(bus) == 1

    async with run():
        await until(lambda: is_all_stored(pool, bus, 10))


async def test_what_a_stopped_consumer_holds_is_stored_by_another_and_once(
    run: Run, bus: Redis, bus_url: str, pool: Pool
):
    async with before(bus_url) as (line, url), run("slow", BUS_URL=url) as slow:
        await publish(bus, [click()])
        await until(lambda: is_all_stored(pool, bus, 1))
        line.delay_seconds = 1.0
        await publish(bus, [click() for _ in range(9)])

        async def is_given_out() -> bool:
            return await pending(bus) == 1

        await until(is_given_out)
        slow.send_signal(signal.SIGSTOP)
        async with run("other", CLAIM_IDLE_SECONDS="0.5"):
            # Its first claim may come too early; the next is fifteen seconds away.
            await until(lambda: is_all_stored(pool, bus, 10))
            line.heal()
            slow.send_signal(signal.SIGCONT)
            await publish(bus, [click()])
            await until(lambda: is_all_stored(pool, bus, 11))


async def test_told_to_stop_it_finishes_its_batch_and_says_so_by_its_exit_code(
    run: Run, bus: Redis, pool: Pool
):
    async with run() as process:
        clicks = [click() for _ in range(2000)]
        await publish(bus, clicks, frames=100)
        await until(lambda: pool.fetchval("SELECT count(*) > 0 FROM events"))

        process.send_signal(signal.SIGTERM)

        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert await pending(bus) == 0
    async with run():
        await until(lambda: is_all_stored(pool, bus, 2000))


async def test_started_before_its_stores_it_waits_for_them(
    run: Run, bus: Redis, bus_url: str, pool: Pool, dsn: str
):
    server = dsn.rpartition("/")[0]
    async with before(bus_url) as (bus_line, bus_through), before(server) as (line, through):
        bus_line.refuses = line.refuses = True
        environ = {"BUS_URL": bus_through, "POSTGRES_DSN": f"{through}/{dsn.rpartition('/')[2]}"}
        async with run(**environ) as process:
            await publish(bus, [click()])
            await asyncio.sleep(1.5)
            assert process.returncode is None
            bus_line.heal()
            await asyncio.sleep(1.0)
            assert process.returncode is None
            line.heal()

            await until(lambda: is_all_stored(pool, bus, 1))


async def test_with_the_database_cut_off_it_holds_its_batch_and_goes_on_afterwards(
    run: Run, bus: Redis, pool: Pool, dsn: str
):
    server, _, name = dsn.rpartition("/")
    async with before(server) as (line, through), run(POSTGRES_DSN=f"{through}/{name}"):
        await publish(bus, [click()])
        await until(lambda: is_all_stored(pool, bus, 1))
        line.refuses = True
        line.cut()
        await publish(bus, [click() for _ in range(50)], frames=50)

        async def is_held() -> bool:
            return await pending(bus) > 0

        await until(is_held)
        line.heal()

        await until(lambda: is_all_stored(pool, bus, 51))


async def test_with_the_bus_cut_off_again_and_again_each_click_is_stored_once(
    run: Run, bus: Redis, bus_url: str, pool: Pool
):
    async with before(bus_url) as (line, url), run(BUS_URL=url, BATCH_EVENTS="400"):
        for _ in range(10):
            await publish(bus, [click() for _ in range(1_000)], frames=10)
            line.cut()
            await asyncio.sleep(0.2)

        await until(lambda: is_all_stored(pool, bus, 10_000))


async def test_stopped_with_two_batches_in_hand_it_leaves_both_to_be_stored_later(
    run: Run, bus: Redis, pool: Pool, dsn: str
):
    server, _, name = dsn.rpartition("/")
    through_line = before(server)
    async with (
        through_line as (line, through),
        run(POSTGRES_DSN=f"{through}/{name}", BATCH_EVENTS="1000") as process,
    ):
        await publish(bus, [click()])
        await until(lambda: is_all_stored(pool, bus, 1))
        line.refuses = True
        line.cut()
        await publish(bus, [click() for _ in range(4_000)], frames=40)

        async def are_held() -> bool:
            return await pending(bus) >= 2  # an entry of the first batch, one of the second

        await until(are_held)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert await pending(bus) >= 2
    assert await stored(pool) == (1, 1)

    async with run():
        await until(lambda: is_all_stored(pool, bus, 4_001))


async def test_a_vanished_group_is_made_again_and_nothing_is_stored_twice(
    run: Run, bus: Redis, pool: Pool
):
    async with run():
        await publish(bus, [click() for _ in range(10)])
        await until(lambda: is_all_stored(pool, bus, 10))

        await bus.xgroup_destroy(streams.CLICKS, streams.INGEST_GROUP)
        await publish(bus, [click()])

        async def is_stored() -> bool:
            return await stored(pool) == (11, 11)

        await until(is_stored)


async def test_a_flood_of_garbage_ends_the_process_with_an_error(run: Run, bus: Redis):
    await publish(bus, [click() for _ in range(1000)])
    for _ in range(30):
        await add(bus, b"garbage")

    async with run(BATCH_EVENTS="5000") as process:
        code = await asyncio.wait_for(process.wait(), DEADLINE_SECONDS)

    assert code not in {0, None}
    assert int(await bus.xlen(streams.CLICKS)) == 31, "the stream keeps everything"
