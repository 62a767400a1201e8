"""Clicks on disk before their visitors are answered: append-only segments, bounded, checksummed.

What was appended is the kernel's, so a killed process loses nothing; only a power cut can, what
neither the bus has nor a `sync` has written. Whatever waits for the disk is done by `tend`, in a
thread: visitors would wait with the event loop.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from redirector import metrics
from redirector.journal_lines import (
    Line,
    Position,
    decode_line,
    encode_line,
    segment_path,
    segments,
)
from redirector.recent_lines import RecentLines
from redirector.segment import Segment, trim

log = logging.getLogger(__name__)

MAX_UNWRITTEN = 10_000  # clicks kept in memory while the disk refuses them
LINE_BYTES = 16 << 10  # a reader takes in several at once
MAX_CLOSING = 8  # full segments that wait for `tend`; beyond, clicks wait for the disk
READY_BYTES = 4 << 20  # made ready ahead: more than comes while a disk keeps `tend` waiting


def _lines(clicks: Sequence[bytes]) -> list[Line]:
    """Put clicks into lines of LINE_BYTES or little more; nearly always it is one."""
    whole = b",".join(clicks)
    if len(whole) <= LINE_BYTES:
        return [Line(len(clicks), whole)]
    lines, start, size = [], 0, 0
    for end, click in enumerate(clicks, 1):
        size += len(click)
        if size >= LINE_BYTES or end == len(clicks):
            lines.append(Line(end - start, b",".join(clicks[start:end])))
            start, size = end, 0
    return lines


class Journal:
    """The writing end of one slot's journal; exactly one process holds it (see `slots`)."""

    def __init__(
        self,
        folder: Path,
        recent: RecentLines,
        *,
        max_bytes: int,
        segment_bytes: int,
        sent: Position,
    ) -> None:
        self._recent = recent
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        sizes = {number: trim(segment_path(folder, number)) for number in segments(folder)}
        self._sizes = {number: size for number, size in sizes.items() if size}
        self._last_number = max(self._sizes, default=sent.segment)
        self._number = self._last_number
        self._segment: Segment | None = None
        self._prepared: tuple[int, Segment] | None = None  # what follows
        self._closing: deque[Segment] = deque()
        self._disk = asyncio.Lock()  # `tend` must not close what is being synced
        self._is_refused = False
        self.is_behind = False  # the bus lacks clicks of a second ago
        self.sent = sent  # what the bus has acknowledged
        self.unwritten: deque[bytes] = deque()

    @property
    def end(self) -> Position:
        """The position behind all clicks."""
        size = self._segment.size if self._segment else self._sizes.get(self._number, 0)
        return Position(self._number, size)

    def append(self, clicks: Sequence[bytes]) -> None:
        """Write clicks at once; where the disk refuses, keep them in memory."""
        lines = _lines(clicks)
        encoded = [encode_line(line) for line in lines]
        content = b"".join(encoded)  # no copy of a single one
        try:
            segment = self._segment or self._open_next()
            start = segment.size
            segment.write(content)
        except OSError as error:
            self._keep_in_memory(clicks, error)
            return
        self._is_refused = False
        for line, raw in zip(lines, encoded, strict=True):
            end = start + len(raw)
            self._recent.add(self._number, start, end, line)
            start = end
        if start >= self._segment_bytes:
            self._end_segment(segment)

    def size(self) -> int:
        """Return the bytes of all segments."""
        return sum(self._sizes.values()) + (self._segment.size if self._segment else 0)

    def unsent(self) -> int:
        """Return the bytes behind what the bus has acknowledged."""
        sizes = dict(self._sizes)
        if self._segment:
            sizes[self._number] = self._segment.size
        unread = {number: size for number, size in sizes.items() if number >= self.sent.segment}
        return sum(unread.values()) - (self.sent.offset if self.sent.segment in unread else 0)

    def forget(self, number: int) -> None:
        """Take note that a sent segment was removed."""
        self._sizes.pop(number, None)

    def wants_tending(self) -> bool:
        """Tell whether `tend` has something to do."""
        return (
            self._prepared is None
            or bool(self._closing)
            or (self._segment is not None and self._segment.lacks_room(READY_BYTES // 2))
        )

    async def tend(self) -> None:
        """Make room ready before clicks come, and close what is full.

        Raises `OSError` where the disk refuses: then the clicks themselves will try.
        """
        async with self._disk:
            await self._tend()

    async def sync(self) -> None:
        """Make what was written survive a power cut; raises `OSError` where the disk refuses."""
        async with self._disk:
            segment = self._segment
            if segment is None:
                return
            await asyncio.to_thread(segment.sync)
            if segment is self._segment:  # it may have been filled meanwhile
                await asyncio.to_thread(segment.make_ready, READY_BYTES)

    async def _tend(self) -> None:
        if self._segment:
            await asyncio.to_thread(self._segment.make_ready, READY_BYTES)
        for _ in range(len(self._closing)):
            await asyncio.to_thread(_close, self._closing.popleft(), is_synced=self.is_behind)
        if self._prepared is None:
            number, segment = await asyncio.to_thread(self._new, self._next_number())
            await asyncio.to_thread(segment.make_ready, READY_BYTES)
            if number > self._number:
                self._prepared = number, segment
            else:  # clicks did not wait for it, and took the number after it
                await asyncio.to_thread(segment.close)

    def close(self) -> None:
        """Close all segments; waits for the disk."""
        if self._segment:
            self._end_segment(self._segment)
        while self._closing:
            self._closing.popleft().close()
        if self._prepared:
            self._prepared[1].close()
            self._prepared = None

    def _open_next(self) -> Segment:
        self._number, self._segment = self._prepared or self._new(self._next_number())
        self._prepared = None
        return self._segment

    def _next_number(self) -> int:
        self._last_number += 1
        return self._last_number

    def _new(self, number: int) -> tuple[int, Segment]:
        return number, Segment(segment_path(self._folder, number), self._segment_bytes)

    def _end_segment(self, segment: Segment) -> None:
        if len(self._closing) == MAX_CLOSING:
            self._closing.popleft().close()
        self._closing.append(segment)
        self._segment = None
        self._sizes[self._number] = segment.size
        while self.size() > self._max_bytes - self._segment_bytes and len(self._sizes) > 1:
            self._remove_oldest()

    def _remove_oldest(self) -> None:
        oldest = min(self._sizes)
        path = segment_path(self._folder, oldest)
        unsent = path.read_bytes()[self.sent.offset if oldest == self.sent.segment else 0 :]
        if oldest >= self.sent.segment:
            lines = filter(None, map(decode_line, unsent.split(b"\n")))
            metrics.CLICKS_DROPPED.labels("journal_full").inc(sum(line.count for line in lines))
            log.error("journal.full", extra={"segment": oldest, "limit": self._max_bytes})
        path.unlink()
        del self._sizes[oldest]

    def _keep_in_memory(self, clicks: Sequence[bytes], error: OSError) -> None:
        metrics.JOURNAL_ERRORS.inc(len(clicks))
        if not self._is_refused:
            self._is_refused = True
            log.error("journal.refused", extra={"error": error})
        self.unwritten.extend(clicks)
        excess = len(self.unwritten) - MAX_UNWRITTEN
        if excess > 0:
            metrics.CLICKS_DROPPED.labels("memory_full").inc(excess)
            for _ in range(excess):
                self.unwritten.popleft()


def _close(segment: Segment, *, is_synced: bool) -> None:
    try:
        if is_synced:
            segment.sync()
    finally:
        segment.close()
