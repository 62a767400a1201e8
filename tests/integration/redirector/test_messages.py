"""What redirectors send, and the consumer of it that docs/streams.md shows."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from shared import streams
from tests import bus_description
from tests.integration.redirector.conftest import Links, Redirector, Start, clicks_on
from tests.waiting import eventually

GUIDE = Path(__file__).parents[3] / "docs/streams.md"
GROUP = "my-analytics"


async def follow(redirector: Redirector, bus: Redis, *codes: str) -> list[str]:
    """Follow each link in a frame of its own; return the lines the guide's consumer prints."""
    before = len(await clicks_on(bus))
    for number, code in enumerate(codes, before + 1):
        assert (await redirector.ask(f"/{code}", {"Referer": "https://a.example"})).status == 302

        async def arrived(number: int = number) -> bool:
            return len(await clicks_on(bus)) == number

        await eventually(arrived)
    clicks = (await clicks_on(bus))[before:]
    return [f"{click.id} {_milliseconds(click.at)} {click.code}" for click in clicks]


def _milliseconds(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def test_a_frame_is_sent_as_described(start: Start, links: Links, bus: Redis):
    await links.put("abc")
    async with start() as redirector:
        await follow(redirector, bus, "abc", "abc")

    entries = cast("streams.Entries", await bus.xrange(streams.CLICKS))
    assert len(entries) == 2
    for _, fields in entries:
        bus_description.check("clicks", fields)


@asynccontextmanager
async def guide_running(
    bus_url: str, consumer: str, *names: str
) -> AsyncIterator[asyncio.StreamReader]:
    """Run the consumer of the guide, letter by letter; yields what it prints."""
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        env={
            **os.environ,
            "BUS_URL": bus_url,
            "CONSUMER": consumer,
            **({"STREAMS": ",".join(names)} if names else {}),
        },
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield process.stdout
        assert process.returncode is None, "it ended by itself"
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def lines(printed: asyncio.StreamReader, count: int) -> list[str]:
    async with asyncio.timeout(10):
        return [(await printed.readline()).decode().strip() for _ in range(count)]


async def all_acknowledged(bus: Redis) -> bool:
    return bool((await bus.xpending(streams.CLICKS, GROUP))["pending"] == 0)


async def deliver(bus: Redis, consumer: str) -> list[bytes]:
    """Give all that is new to a consumer that does not finish it; return the entries' ids."""
    reply: Any = await bus.xreadgroup(GROUP, consumer, {streams.CLICKS: ">"})
    return [entry_id for entry_id, _ in reply[0][1]]


async def test_the_guide_s_consumer_gets_every_click_old_and_new(
    start: Start, links: Links, bus: Redis, bus_url: str
):
    await links.put("abc")
    await links.put("xyz")
    async with start() as redirector:
        expected = await follow(redirector, bus, "abc", "xyz")
        async with guide_running(bus_url, "worker-1") as printed:
            assert await lines(printed, 2) == expected

            later = await follow(redirector, bus, "abc")

            assert await lines(printed, 1) == later
            await eventually(lambda: all_acknowledged(bus))


async def test_the_guide_s_consumer_reads_several_streams(
    start: Start, links: Links, bus: Redis, bus_url: str
):
    await links.put("abc")
    names = [streams.CLICKS, *streams.click_streams(2)]
    for name in names:
        await bus.xgroup_create(name, GROUP, id="0", mkstream=True)
    async with start() as before, start(click_streams=2) as redirector:
        await before.ask("/abc")
        for number in range(1, 5):
            await redirector.ask("/abc")
            await eventually(partial(has_clicks, bus, number, names[1:]))
        for name in names:  # read, and not finished
            await bus.xreadgroup(GROUP, "worker-1", {name: ">"}, count=1)

        async with guide_running(bus_url, "worker-1", *names) as printed:
            first = await lines(printed, 5)
            await redirector.ask("/abc")
            await redirector.ask("/abc")
            second = await lines(printed, 2)

    assert all([await bus.xlen(name) for name in names])
    expected = {str(click.id) for click in await clicks_on(bus, *names)}
    assert {line.split()[0] for line in first + second} == expected
    assert len(expected) == 7


async def has_clicks(bus: Redis, count: int, names: list[str]) -> bool:
    return len(await clicks_on(bus, *names)) == count


async def test_the_guide_s_consumer_finishes_first_what_it_had_before_it_stopped(
    start: Start, links: Links, bus: Redis, bus_url: str
):
    await links.put("abc")
    async with start() as redirector:
        await bus.xgroup_create(streams.CLICKS, GROUP, id="0", mkstream=True)
        expected = await follow(redirector, bus, "abc", "abc")
        await deliver(bus, "worker-1")
        expected += await follow(redirector, bus, "abc")

        async with guide_running(bus_url, "worker-1") as printed:
            assert await lines(printed, 3) == expected
            await eventually(lambda: all_acknowledged(bus))


async def test_the_guide_s_consumer_takes_over_what_a_dead_one_had_and_no_other(
    start: Start, links: Links, bus: Redis, bus_url: str
):
    await links.put("abc")
    async with start() as redirector:
        await bus.xgroup_create(streams.CLICKS, GROUP, id="0", mkstream=True)
        expected = await follow(redirector, bus, "abc")
        (entry,) = await deliver(bus, "dead")
        await follow(redirector, bus, "abc")
        await deliver(bus, "busy")
        await bus.xclaim(streams.CLICKS, GROUP, "dead", 0, [entry], idle=61_000)

        async with guide_running(bus_url, "worker-1") as printed:
            expected += await follow(redirector, bus, "abc")

            assert await lines(printed, 2) == expected

            async def one_is_pending() -> bool:
                return bool((await bus.xpending(streams.CLICKS, GROUP))["pending"] == 1)

            await eventually(one_is_pending)


@pytest.mark.parametrize("holder", ["worker-1", "dead"])
async def test_the_guide_s_consumer_goes_on_past_what_was_trimmed(
    start: Start, links: Links, bus: Redis, bus_url: str, holder: str
):
    await links.put("abc")
    async with start() as redirector:
        await bus.xgroup_create(streams.CLICKS, GROUP, id="0", mkstream=True)
        await follow(redirector, bus, "abc")
        (entry,) = await deliver(bus, holder)
        await bus.xclaim(streams.CLICKS, GROUP, holder, 0, [entry], idle=61_000)
        await bus.xtrim(streams.CLICKS, maxlen=0, approximate=False)

        async with guide_running(bus_url, "worker-1") as printed:
            expected = await follow(redirector, bus, "abc")

            assert await lines(printed, 1) == expected
