"""Which streams of clicks there are, on a real bus that goes and comes back."""

import asyncio

import pytest
from redis.asyncio import Redis

from shared import click_streams, redis_client, streams
from tests.faults.test_redirector import before

DEADLINE_SECONDS = 20.0


async def begin(bus: Redis, name: str) -> None:
    await bus.xadd(name, {"batch": b"[]"})


async def test_all_that_there_are_are_found_whatever_their_number_was(bus: Redis):
    assert await click_streams.found(bus) == []

    for name in ("clicks:{7}", "clicks", "clicks.dead", "clicks:{0}", "clicks:{99}"):
        await begin(bus, name)

    assert await click_streams.found(bus) == ["clicks", "clicks:{0}", "clicks:{7}"]


async def test_a_stream_is_told_once_and_soon_after_it_begins(
    bus: Redis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(click_streams, "LOOK_SECONDS", 0.01)
    stop = asyncio.Event()
    told = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for name in click_streams.as_found(bus, stop):
            told.append(name)
            if name == streams.CLICKS:
                await begin(bus, streams.CLICKS)
                await begin(bus, "clicks:{1}")
            elif name == "clicks:{1}":
                await begin(bus, "clicks:{0}")
            else:
                stop.set()

    assert told == ["clicks", "clicks:{1}", "clicks:{0}"]


async def test_a_bus_that_is_away_ends_nothing(
    bus: Redis, bus_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(click_streams, "LOOK_SECONDS", 0.01)
    await begin(bus, "clicks:{0}")
    told = []
    async with (
        before(bus_url) as (line, url),
        redis_client.connect(url, name="tests", max_connections=1, timeout=5) as through,
    ):
        line.refuses = True
        stop = asyncio.Event()
        async with asyncio.timeout(DEADLINE_SECONDS):
            async for name in click_streams.as_found(through, stop):
                told.append(name)
                if name == streams.CLICKS:
                    asyncio.get_running_loop().call_later(0.1, line.heal)
                else:
                    stop.set()

    assert "click_streams.retry" in caplog.messages
    assert told == ["clicks", "clicks:{0}"]


async def test_told_to_stop_it_waits_for_one_answer_of_a_silent_bus_at_most(
    bus_url: str, caplog: pytest.LogCaptureFixture
):
    async with (
        before(bus_url) as (line, url),
        redis_client.connect(url, name="tests", max_connections=1, timeout=1) as through,
    ):
        line.is_black_hole = True
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.5, stop.set)
        async with asyncio.timeout(5):
            told = [name async for name in click_streams.as_found(through, stop)]

    assert told == [streams.CLICKS]
    assert "click_streams.retry" in caplog.messages
