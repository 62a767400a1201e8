"""Clicks as they happen, over real connections."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from redis.asyncio import Redis

from management import live_clicks, live_handlers
from management.errors import Malformed
from management.live_clicks import LiveClicks
from management.live_positions import ALL_OF_IT as MAX
from management.live_positions import Positions, parse_positions, write_positions
from shared import streams
from shared.events import Click, encoder
from shared.tasks import background
from shortwire import servers
from tests.conftest import database_url
from tests.integration.management.conftest import Api, Start
from tests.integration.management.test_auth import World, admin_key

DEADLINE_SECONDS = 20.0
AGENT = "Mozilla/5.0"


def click(url_id: int, **facts: Any) -> Click:
    return Click(id=uuid4(), at=datetime.now(UTC), code="abc", url_id=url_id, **facts)


NOT_UTF8 = encoder.encode([click(1, source="qr")]).replace(b"qr", b"\xff")
NESTED = encoder.encode([click(1)]).replace(b"}]", b',"more":%b}]' % (b"[" * 9999 + b"]" * 9999))


async def publish(bus: Redis, *clicks: Click, stream: str = streams.CLICKS) -> None:
    fields: Any = {streams.CLICKS_SCHEMA: 1, streams.CLICKS_BATCH: encoder.encode(clicks)}
    await bus.xadd(stream, fields)


class Stream(msgspec.Struct):
    """An open connection that reads server-sent events."""

    status: int
    headers: dict[str, str]
    reader: asyncio.StreamReader
    buffer: bytes = b""

    async def piece(self) -> dict[str, str]:
        """The next event or comment, by field; a comment's field is empty."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while b"\n\n" not in self.buffer:
                size = int(await self.reader.readline(), 16)
                if size == 0:
                    raise EOFError
                self.buffer += await self.reader.readexactly(size)
                await self.reader.readline()
        piece, _, self.buffer = self.buffer.partition(b"\n\n")
        lines = [line.partition(": ") for line in piece.decode().split("\n")]
        return {name.strip(":"): value for name, _, value in lines}

    async def end(self) -> None:
        """Wait until the server ends the stream."""
        with suppress(EOFError):
            while True:
                await self.piece()

    async def event(self) -> tuple[str, Any]:
        """The next click's position and data."""
        while True:
            piece = await self.piece()
            if piece.get("event") == "click":
                return piece["id"], json.loads(piece["data"])


@asynccontextmanager
async def opened(api: Api, path: str, after: str | None = None) -> AsyncIterator[Stream]:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    lines = [f"GET {path} HTTP/1.1", "Host: localhost"]
    lines += [f"Authorization: Bearer {api.key}"] if api.key else []
    lines += [f"Last-Event-ID: {after}"] if after else []
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        yield Stream(int(head[0].split()[1]), fields, reader)
    finally:
        writer.close()


async def test_clicks_of_the_link_come_as_they_happen_and_tell_no_address(api: Api, bus: Redis):
    url = await api.url(await api.user())
    await publish(bus, click(url["id"]))  # before anybody listened
    async with opened(api, f"/urls/{url['id']}/events/live") as stream:
        first = await stream.piece()
        sent = click(url["id"], user_agent=AGENT, address="203.0.113.0", source="qr", user_id=1)
        await publish(bus, click(999), sent)
        _, shown = await stream.event()

    assert (stream.status, stream.headers["content-type"]) == (
        200,
        "text/event-stream; charset=utf-8",
    )
    assert stream.headers["x-accel-buffering"] == "no"
    assert first == {"retry": "1000"}
    assert shown == {
        "id": str(sent.id),
        "at": sent.at.replace(tzinfo=None).isoformat(),
        "code": "abc",
        "url_id": url["id"],
        "user_agent": AGENT,
        "source": "qr",
    }


@pytest.mark.parametrize("batch", [b"garbage", b"[]", NOT_UTF8, NESTED], ids=lambda b: b[:9])
async def test_what_is_no_frame_of_clicks_is_passed_over(api: Api, bus: Redis, batch: bytes):
    url = await api.url(await api.user())
    async with opened(api, f"/urls/{url['id']}/events/live") as stream:
        await stream.piece()
        await bus.xadd(streams.CLICKS, {streams.CLICKS_BATCH: batch})
        sent = click(url["id"])
        await publish(bus, sent)
        _, shown = await stream.event()

    assert shown["id"] == str(sent.id)


async def test_who_comes_back_gets_what_was_missed_once(api: Api, bus: Redis):
    url = await api.url(await api.user())
    path = f"/urls/{url['id']}/events/live"
    clicks = [click(url["id"], request_id=str(number)) for number in range(8)]
    async with opened(api, path) as stream:
        await stream.piece()
        await publish(bus, *clicks[:3])
        positions = [await stream.event() for _ in range(2)]
    await publish(bus, click(999))
    await publish(bus, *clicks[3:5])

    async with opened(api, path, positions[-1][0]) as stream:
        await stream.piece()
        await publish(bus, *clicks[5:])
        ids = [(await stream.event())[1]["id"] for _ in range(6)]

    assert [data["id"] for _, data in positions] == [str(each.id) for each in clicks[:2]]
    assert ids == [str(each.id) for each in clicks[2:]]


async def test_who_comes_back_gets_what_was_missed_of_each_stream_once(api: Api, bus: Redis):
    """Wherever in the streams it was, and though their number changes meanwhile."""
    url = await api.url(await api.user())
    path = f"/urls/{url['id']}/events/live"
    names = [streams.CLICKS, *streams.click_streams(3)]
    sent: list[str] = []
    got: list[str] = []

    async def publish_all(*among: str) -> None:
        for name in among:
            clicks = [click(url["id"]) for _ in range(2)]
            await publish(bus, click(999), *clicks, stream=name)
            sent.extend(str(each.id) for each in clicks)

    async def take(stream: Stream, *, but: int) -> str:
        async with asyncio.timeout(DEADLINE_SECONDS):
            for _ in range(len(sent) - len(got) - but):
                position, data = await stream.event()
                got.append(data["id"])
        return position

    await publish_all(*names[:3])  # before anybody listened
    sent.clear()
    async with opened(api, path) as stream:
        await stream.piece()
        await publish_all(*names[:2])
        last = await take(stream, but=2)
    for among in (names[:3], names, names[1:], names[:1]):
        await publish_all(*among)
        async with opened(api, path, last) as stream:
            await stream.piece()
            await publish_all(*names)
            last = await take(stream, but=2)
    async with opened(api, path, last) as stream:
        await take(stream, but=0)

    assert len(got) == len(set(got))
    assert set(got) == set(sent)


async def test_a_silent_stream_says_that_it_lives(api: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live_handlers, "HEARTBEAT_SECONDS", 0.05)
    url = await api.url(await api.user())
    async with opened(api, f"/urls/{url['id']}/events/live") as stream:
        pieces = [await stream.piece() for _ in range(3)]

    assert pieces[1:] == [{"": "nothing new"}] * 2


async def test_a_stream_ends_after_its_time(api: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live_handlers, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(live_handlers, "MAX_SECONDS", 0.1)
    url = await api.url(await api.user())
    async with opened(api, f"/urls/{url['id']}/events/live") as stream:
        await stream.end()


async def test_only_the_owner_listens(start: Start, database: str):
    async with start(auth="required") as api:
        world = World(api, await admin_key(database))
        await world.fill()
        path = f"/urls/{world.url['id']}/events/live"

        assert (await world.nobody.get(path)).status == 401
        assert (await world.stranger.get(path)).status == 404
        head = await world.owner.ask("HEAD", path)
        assert (head.status, head.headers["cache-control"]) == (200, "no-store")
        async with opened(world.owner, path) as stream:
            assert stream.status == 200
        wrong = await world.owner.get(path, headers={"Last-Event-ID": "7"})
        assert (wrong.status, list(wrong.json["details"])) == (400, ["Last-Event-ID"])


async def test_streams_are_bounded_and_what_is_closed_makes_room(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(live_clicks, "MAX_LISTENERS_OF_ONE", 1)
    url = await api.url(await api.user())
    path = f"/urls/{url['id']}/events/live"
    async with opened(api, path) as stream:
        await stream.piece()
        refused = await api.get(path)
        monkeypatch.setattr(live_clicks, "MAX_LISTENERS", 1)
        full = await api.get(path)

    assert (refused.status, full.status) == (429, 503)
    assert int(refused.headers["retry-after"]) > 0
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            async with opened(api, path) as stream:
                if stream.status == 200:
                    break


async def test_a_slow_listener_is_dropped_and_the_others_are_not(
    bus: Redis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(live_clicks, "MAX_WAITING", 3)
    live = LiveClicks(bus, asyncio.Event())
    async with background(live.run(), name="live"):
        slow, quick = await live.join(1, None), await live.join(1, None)
        taken = []
        for number in range(6):
            await publish(bus, click(1, request_id=str(number)))
            async with asyncio.timeout(DEADLINE_SECONDS):
                taken.append(await quick.waiting.get())
        waiting = [slow.waiting.get_nowait() for _ in range(slow.waiting.qsize())]
        live.leave(slow)
        live.leave(quick)

    assert [each.click.request_id for each in taken if each] == list("012345")
    assert [each and each.click.request_id for each in waiting] == ["0", "1", "2", None]
    assert not live._wanted.is_set()


@given(
    st.dictionaries(
        st.sampled_from([streams.CLICKS, *streams.click_streams(streams.MAX_CLICK_STREAMS)]),
        st.tuples(
            st.integers(1, 10**13), st.integers(0, 10**9), st.integers(1, 10**6) | st.just(MAX)
        ),
        min_size=1,
    )
)
@example({"clicks": (1_775_217_600_000, 7, 99)})
def test_positions_are_read_as_they_were_written(positions: Positions):
    text = write_positions(positions)

    assert parse_positions(text) == positions
    assert set(text) <= set("0123456789-/:,")


def test_with_one_stream_an_id_is_what_it_always_was():
    assert write_positions({"clicks": (1_775_217_600_000, 7, 99)}) == "1775217600000-7/99"


@pytest.mark.parametrize("text", ["", "7", "1-1/1,", "16:1-1/1", "x:1-1/1", ",".join(["1-1"] * 99)])
def test_what_is_no_position_is_refused(text: str):
    with pytest.raises(Malformed):
        parse_positions(text)


async def test_the_end_of_the_service_ends_streams_at_once(
    database: str, cache_url: str, bus_url: str
):
    head, _, name = database.rpartition("/")
    port = servers.free_port()
    environ = {
        **os.environ,
        "POSTGRES_DSN": database_url(f"{head}/x", name, "shortwire_management"),
        "CACHE_URL": cache_url,
        "BUS_URL": bus_url,
        "AUTH": "open",
        "PORT": str(port),
        "METRICS_PORT": str(servers.free_port()),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "management", env=environ, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        api = Api(port)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                try:
                    url = await api.url(await api.user())
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        async with opened(api, f"/urls/{url['id']}/events/live") as stream:
            await stream.piece()
            process.send_signal(signal.SIGTERM)
            await stream.end()
        # Well before the 8 s after which running requests are cut off.
        async with asyncio.timeout(6):
            assert await process.wait() in {0, -signal.SIGTERM}
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
