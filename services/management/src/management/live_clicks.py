"""Clicks as they happen: one reader of the bus in this process, for all who listen.

No consumer group: what nobody listens to is not kept for anybody. A listener who was away names
what it had last and gets what the stream still holds of the time since.
"""

import asyncio
import logging
import re
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from types import MappingProxyType
from typing import cast

import msgspec
from redis.asyncio import Redis

from management import metrics
from management.errors import Malformed
from shared import streams
from shared.errors import REDIS_ERRORS, DomainError, Unavailable
from shared.events import Click, clicks_decoder

log = logging.getLogger(__name__)

MAX_LISTENERS = 200  # of this process
MAX_LISTENERS_OF_ONE = 20  # with one user's keys
MAX_WAITING = 1_000  # clicks that a listener has not taken; beyond, it is dropped
MAX_CAUGHT_UP = 2_000  # frames that are looked through for who comes back
READ_FRAMES = 100
BLOCK_MS = 400  # below the client's time-out; and so long may the end of a stream take
RETRY_SECONDS = 1.0
_POSITION = re.compile(r"(\d{1,19})-(\d{1,19})/(\d{1,9})\Z", re.ASCII)

Position = tuple[int, int, int]  # a frame's id in its two parts, and the click's number in it


class TooManyListeners(DomainError):
    """So many streams of one user are open that another one is refused."""

    status = 429
    headers = MappingProxyType({"Retry-After": "5"})


class LiveClick(msgspec.Struct, frozen=True):
    """A click and its position in the stream."""

    position: Position
    click: Click


class Listener:
    """One open stream; `None` in `waiting` ends it."""

    def __init__(self, url_id: int, owner: int | None) -> None:
        self.url_id = url_id
        self.owner = owner
        self.joined: Position = (0, 0, 0)  # what comes after this comes by `waiting`
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
    """The reader and its listeners; `leaving` is set when this process is told to stop."""

    def __init__(self, bus: Redis, leaving: asyncio.Event) -> None:
        self._bus = bus
        self._leaving = leaving
        self._listeners: defaultdict[int, set[Listener]] = defaultdict(set)
        self._owners: Counter[int | None] = Counter()
        self._wanted = asyncio.Event()
        self._joining = asyncio.Lock()
        self._after = b""  # the id of the frame that was read last

    async def run(self) -> None:
        """Read while anybody listens."""
        while True:
            await self._wanted.wait()
            try:
                await self._read()
            except REDIS_ERRORS as error:
                log.warning("live.retry", extra={"error": repr(error)})
                await asyncio.sleep(RETRY_SECONDS)
            if self._leaving.is_set():
                self._end_all()

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
        self._listeners[url_id].add(listener)
        self._wanted.set()
        return listener

    def leave(self, listener: Listener) -> None:
        """Stop listening; once for each listener."""
        self._give_nothing_more(listener)
        metrics.LIVE_LISTENERS.dec()
        self._owners -= Counter({listener.owner: 1})

    async def missed(self, listener: Listener, after: Position) -> AsyncIterator[LiveClick]:
        """Yield the link's clicks after `after` that came before the listener joined."""
        frame, last = f"{after[0]}-{after[1]}", f"{listener.joined[0]}-{listener.joined[1]}"
        for _ in range(MAX_CAUGHT_UP // READ_FRAMES):
            found = await self._bus.xrange(streams.CLICKS, min=frame, max=last, count=READ_FRAMES)
            entries = cast("streams.Entries", found)
            for live in _clicks(entries):
                if live.click.url_id == listener.url_id and live.position > after:
                    yield live
            if len(entries) < READ_FRAMES:
                return
            frame = f"({entries[-1][0].decode()}"

    async def _last_read(self) -> Position:
        """Return after what a new listener gets clicks, and see to it that they are read."""
        async with self._joining:
            if not self._wanted.is_set():
                try:
                    found = await self._bus.xrevrange(streams.CLICKS, count=1)
                except REDIS_ERRORS as error:
                    raise Unavailable from error
                newest = cast("streams.Entries", found)
                self._after = newest[0][0] if newest else b"0-0"
            return (*_parts(self._after), sys.maxsize)

    def _give_nothing_more(self, listener: Listener) -> None:
        listeners = self._listeners.get(listener.url_id, set())
        listeners.discard(listener)
        if not listeners:
            self._listeners.pop(listener.url_id, None)
        if not self._listeners:
            self._wanted.clear()

    async def _read(self) -> None:
        reply = cast(
            "list[tuple[bytes, streams.Entries]]",
            await self._bus.xread({streams.CLICKS: self._after}, count=READ_FRAMES, block=BLOCK_MS),
        )
        if not reply:
            return
        entries = reply[0][1]
        self._after = entries[-1][0]
        for live in _clicks(entries):
            for listener in list(self._listeners.get(live.click.url_id, ())):
                # Not what was there before: the answer may be to a question of before, too.
                if live.position > listener.joined and not listener.give(live):
                    metrics.LIVE_DROPPED.inc()
                    listener.end()
                    self._give_nothing_more(listener)

    def _end_all(self) -> None:
        for listeners in list(self._listeners.values()):
            for listener in list(listeners):
                listener.end()
                self._give_nothing_more(listener)


def parse_position(text: str) -> Position:
    """Read what `write_position` wrote; raises `Malformed`."""
    match = _POSITION.match(text)
    if match is None:
        message = "Last-Event-ID must be the id of an event of this stream"
        raise Malformed(message, {"Last-Event-ID": message})
    return int(match[1]), int(match[2]), int(match[3])


def write_position(position: Position) -> str:
    """Return a position as the id of a server-sent event."""
    return f"{position[0]}-{position[1]}/{position[2]}"


def _clicks(entries: streams.Entries) -> Iterator[LiveClick]:
    for entry_id, fields in entries:
        try:
            clicks = clicks_decoder.decode(fields[streams.CLICKS_BATCH])
        except (msgspec.DecodeError, KeyError):
            continue  # event-ingest puts it aside
        for number, click in enumerate(clicks, 1):
            yield LiveClick((*_parts(entry_id), number), click)


def _parts(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence)
