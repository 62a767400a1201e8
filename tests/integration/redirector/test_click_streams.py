"""Clicks of a redirector on several streams, and the way from one stream to several and back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from redis.asyncio import Redis

from shared import click_streams, streams
from shared.tasks import background
from tests.faults.test_ingest import Run, dsn, run, until
from tests.faults.test_redirector import before
from tests.integration.event_ingest.conftest import pending, stored
from tests.integration.redirector.conftest import Links, Redirector, Start, clicks_on
from tests.waiting import eventually

__all__ = ["dsn", "run"]  # fixtures

NAMES = streams.click_streams(3)


async def has_clicks(bus: Redis, count: int) -> bool:
    return len({click.id for click in await clicks_on(bus, *click_streams.NAMES)}) == count


async def test_frames_go_to_the_streams_in_turn(start: Start, links: Links, bus: Redis):
    await links.put("abc123")
    async with start(click_streams=3) as redirector:
        for number in range(1, 7):
            await redirector.ask("/abc123")
            await eventually(partial(has_clicks, bus, number))

    assert [await bus.xlen(name) for name in NAMES] == [2, 2, 2]
    assert await bus.exists(streams.CLICKS) == 0


async def test_a_frame_whose_outcome_is_unknown_is_sent_again_to_another_stream(
    start: Start, links: Links, bus: Redis, bus_url: str
):
    await links.put("abc123")
    async with before(bus_url) as (line, url), start(bus_url=url, click_streams=3) as redirector:
        await redirector.ask("/abc123")
        await eventually(partial(has_clicks, bus, 1))
        line.drops_replies = True
        await redirector.ask("/abc123")
        await eventually(partial(has_clicks, bus, 2))  # it was carried out, and the reply is lost
        line.heal()

        async def is_there_twice() -> bool:
            return len(await clicks_on(bus, *NAMES)) >= 3

        await eventually(is_there_twice)

    assert len({click.id for click in await clicks_on(bus, *NAMES)}) == 2


class Visitors:
    """Follow a link again and again, through whichever redirector there is."""

    def __init__(self) -> None:
        self.answered = 0
        self._redirectors: list[Redirector] = []
        self._round = asyncio.Lock()

    async def run(self) -> None:
        while True:
            async with self._round:
                for redirector in self._redirectors:
                    assert (await redirector.ask("/abc123")).status == 302
                    self.answered += 1
            await asyncio.sleep(0.005)

    @asynccontextmanager
    async def visiting(self, redirector: Redirector) -> AsyncIterator[None]:
        async with self._round:
            self._redirectors.append(redirector)
        yield
        async with self._round:  # what was asked is answered
            self._redirectors.remove(redirector)


async def test_from_one_stream_to_three_and_back_no_click_is_lost_or_doubled(
    start: Start, links: Links, bus: Redis, run: Run
):
    """As an operator does it, under load, and with event-ingest killed on the way."""
    await links.put("abc123")
    visitors = Visitors()
    async with background(visitors.run(), name="visitors"):
        async with run("ingest-1"):
            for count in (1, 3):
                async with (
                    start(click_streams=count) as one,
                    start(click_streams=3) as other,
                    visitors.visiting(one),
                    visitors.visiting(other),
                ):
                    await asyncio.sleep(1)
        async with start(click_streams=3) as redirector, visitors.visiting(redirector):
            await asyncio.sleep(1)  # nobody consumes
        async with run("ingest-2", CLAIM_IDLE_SECONDS="0.1"):
            for count in (2, 1):
                async with start(click_streams=count) as redirector, visitors.visiting(redirector):
                    await asyncio.sleep(1)

            async def is_drained() -> bool:
                names = await click_streams.found(bus)
                return not any([await pending(bus, name) for name in names]) and (
                    await stored(links.pool) == (visitors.answered, visitors.answered)
                )

            await until(is_drained)
    assert visitors.answered > 100
    assert await click_streams.found(bus) == [streams.CLICKS, *NAMES]
