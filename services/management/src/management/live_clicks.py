"""Clicks as they happen: one reader of each stream in this process, for all who listen.

No consumer group: what nobody listens to is not kept for anybody. A listener who was away names
what it had last and gets what the streams still hold of the time since.
"""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from types import MappingProxyType
from typing import cast

import msgspec
from redis.asyncio import Redis

from management import metrics
from management.live_positions import BEGIN, Position, Positions, end_of, parts
from shared import click_streams, streams
from shared.errors import REDIS_ERRORS, UNDECODABLE, DomainError, Unavailable
from shared.events import Click, clicks_decoder
from shared.tasks import background

log = logging.getLogger(__name__)

MAX_LISTENERS = 200  # of this process
MAX_LISTENERS_OF_ONE = 20  # with one user's keys
MAX_WAITING = 1_000  # clicks that a listener has not taken; beyond, it is dropped
MAX_CAUGHT_UP = 2_000  # frames of a stream that are looked through for who comes back
READ_FRAMES = 100
BLOCK_MS = 400  # below the client's time-out; and so long may the end of a stream take
RETRY_SECONDS = 1.0


class TooManyListeners(DomainError):
    """So many streams of one user are open that another one is refused."""

    status = 429
    headers = MappingProxyType({"Retry-After": "5"})


class LiveClick(msgspec.Struct, frozen=True):
    """A click, and how far its listener is with each stream once it has it."""

    positions: Positions
    click: Click


class Listener:
    """One open stream; `None` in `waiting` ends it."""

    def __init__(self, url_id: int, owner: int | None) -> None:
        self.url_id = url_id
        self.owner = owner
        self.joined: Positions = {}  # what comes after this comes by `waiting`
        self.waiting: asyncio.Queue[LiveClick | None] = asyncio.Queue(MAX_WAITING + 1)

    def give(self, click: LiveClick) -> bool:
        """Give a click; return False where the listener is too slow."""
        if self.waiting.qsize() >= MAX_WAITING:
            return False
        self.waiting.put_nowait(click)
        return True

    def end(self) -> None:
        """Let the listener take what waits, and no more."""
        if not self.waiting.full():
            self.waiting.put_nowait(None)


class LiveClicks:
    """The readers and their listeners; `leaving` is set when this process is told to stop."""

    def __init__(self, bus: Redis, leaving: asyncio.Event) -> None:
        self._bus = bus
        self._leaving = leaving
        self._listeners: defaultdict[int, set[Listener]] = defaultdict(set)
        self._owners: Counter[int | None] = Counter()
        self._wanted = asyncio.Event()
        self._joining = asyncio.Lock()
        self._read_to: dict[str, Position] = {}  # of each stream

    async def run(self) -> None:
        """Read while anybody listens, until cancelled."""
        async with AsyncExitStack() as readers:
            async for stream in click_streams.as_found(self._bus, self._leaving):
                await readers.enter_async_context(background(self._follow(stream), name=stream))
            self._end_all()
            await asyncio.Event().wait()  # a task that ends looks like one that died

    async def join(self, url_id: int, owner: int | None) -> Listener:
        """Begin to listen to a link; whoever joins leaves.

        Raises `TooManyListeners` or `Unavailable`, also where the bus is away.
        """
        if self._leaving.is_set() or self._owners.total() >= MAX_LISTENERS:
            raise Unavailable
        if self._owners[owner] >= MAX_LISTENERS_OF_ONE:
            raise TooManyListeners(f"{MAX_LISTENERS_OF_ONE} streams are open already")
        self._owners[owner] += 1
        metrics.LIVE_LISTENERS.inc()
        listener = Listener(url_id, owner)
        try:
            listener.joined = await self._last_read()
        except BaseException:
            self.leave(listener)
            raise
        if self._leaving.is_set():
            self.leave(listener)
            raise Unavailable
        self._listeners[url_id].add(listener)
        self._wanted.set()
        return listener

    def leave(self, listener: Listener) -> None:
        """Stop listening; once for each listener."""
        self._give_nothing_more(listener)
        metrics.LIVE_LISTENERS.dec()
        self._owners -= Counter({listener.owner: 1})

    async def missed(self, listener: Listener, after: Positions) -> AsyncIterator[LiveClick]:
        """Yield the link's clicks after `after` that came before the listener joined."""
        positions = dict(after)
        for stream, joined in listener.joined.items():
            async for position, click in self._between(stream, after.get(stream, BEGIN), joined):
                if click.url_id == listener.url_id:
                    positions[stream] = position
                    yield LiveClick(dict(positions), click)
            positions[stream] = joined

    async def _between(
        self, stream: str, after: Position, last: Position
    ) -> AsyncIterator[tuple[Position, Click]]:
        frame, end = f"{after[0]}-{after[1]}", f"{last[0]}-{last[1]}"
        for _ in range(MAX_CAUGHT_UP // READ_FRAMES):
            found = await self._bus.xrange(stream, min=frame, max=end, count=READ_FRAMES)
            entries = cast("streams.Entries", found)
            for position, click in _clicks(entries):
                if position > after:
                    yield position, click
            if len(entries) < READ_FRAMES:
                return
            frame = f"({entries[-1][0].decode()}"

    async def _last_read(self) -> Positions:
        """Return after what a new listener gets clicks, and see to it that they are read."""
        async with self._joining:
            if not self._wanted.is_set():
                try:
                    names = await click_streams.found(self._bus)
                    self._read_to = {name: await self._newest(name) for name in names}
                except REDIS_ERRORS as error:
                    raise Unavailable from error
            return dict(self._read_to)

    async def _newest(self, stream: str) -> Position:
        newest = cast("streams.Entries", await self._bus.xrevrange(stream, count=1))
        return end_of(newest[0][0]) if newest else BEGIN

    def _give_nothing_more(self, listener: Listener) -> None:
        listeners = self._listeners.get(listener.url_id, set())
        listeners.discard(listener)
        if not listeners:
            self._listeners.pop(listener.url_id, None)
        if not self._listeners:
            self._wanted.clear()

    async def _follow(self, stream: str) -> None:
        while True:
            await self._wanted.wait()
            try:
                await self._read(stream)
            except REDIS_ERRORS as error:
                log.warning("live.retry", extra={"stream": stream, "error": error})
                await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, stream: str) -> None:
        after = "{}-{}".format(*self._read_to.get(stream, BEGIN))
        reply = cast(
            "list[tuple[bytes, streams.Entries]]",
            await self._bus.xread({stream: after}, count=READ_FRAMES, block=BLOCK_MS),
        )
        if not reply:
            return
        entries = reply[0][1]
        for position, click in _clicks(entries):
            for listener in list(self._listeners.get(click.url_id, ())):
                # Not what was there before: the answer may be to a question of before, too.
                if position > listener.joined.get(stream, BEGIN):
                    self._give(listener, LiveClick({**self._read_to, stream: position}, click))
        self._read_to[stream] = end_of(entries[-1][0])

    def _give(self, listener: Listener, live: LiveClick) -> None:
        if not listener.give(live):
            metrics.LIVE_DROPPED.inc()
            listener.end()
            self._give_nothing_more(listener)

    def _end_all(self) -> None:
        for listeners in list(self._listeners.values()):
            for listener in list(listeners):
                listener.end()
                self._give_nothing_more(listener)


def _clicks(entries: streams.Entries) -> Iterator[tuple[Position, Click]]:
    for entry_id, fields in entries:
        try:
            clicks = clicks_decoder.decode(fields.get(streams.CLICKS_BATCH, b""))
        except UNDECODABLE:
            continue  # event-ingest puts it aside
        for number, click in enumerate(clicks, 1):
            yield (*parts(entry_id), number), click
