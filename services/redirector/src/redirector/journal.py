"""Clicks on disk before their visitors are answered: append-only segments, bounded, checksummed.

A `write` has reached the kernel when it returns, so a killed process loses nothing; only a power
cut can, up to the last `sync`.
"""

import logging
import os
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

log = logging.getLogger(__name__)

MAX_UNWRITTEN = 10_000  # clicks kept in memory while the disk refuses them
LINE_BYTES = 16 << 10  # a reader takes in several at once


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
        self._sizes = {n: segment_path(folder, n).stat().st_size for n in segments(folder)}
        self._number = max(self._sizes, default=sent.segment)
        self._descriptor = -1
        self._size = 0
        self._is_refused = False
        self.sent = sent  # what the bus has acknowledged
        self.unwritten: deque[bytes] = deque()

    def append(self, clicks: Sequence[bytes]) -> None:
        """Write clicks at once; where the disk refuses, keep them in memory."""
        lines = _lines(clicks)
        encoded = [encode_line(line) for line in lines]
        content = b"".join(encoded)  # no copy of a single one
        try:
            if self._descriptor < 0:
                self._open_next()
            written = os.write(self._descriptor, content)
            if written < len(content):  # the disk is full: leave no half a line
                os.ftruncate(self._descriptor, self._size)
                raise OSError(f"{written} of {len(content)} bytes written")  # noqa: TRY301
        except OSError as error:
            self._keep_in_memory(clicks, error)
            return
        self._is_refused = False
        for line, raw in zip(lines, encoded, strict=True):
            end = self._size + len(raw)
            self._recent.add(self._number, self._size, end, line)
            self._size = end
        if self._size >= self._segment_bytes:
            self._close_segment()

    def size(self) -> int:
        """Return the bytes of all segments."""
        return sum(self._sizes.values()) + self._size

    def unsent(self) -> int:
        """Return the bytes behind what the bus has acknowledged."""
        sizes = dict(self._sizes)
        if self._descriptor >= 0:
            sizes[self._number] = self._size
        unread = {number: size for number, size in sizes.items() if number >= self.sent.segment}
        return sum(unread.values()) - (self.sent.offset if self.sent.segment in unread else 0)

    def forget(self, number: int) -> None:
        """Take note that a sent segment was removed."""
        self._sizes.pop(number, None)

    def sync(self) -> None:
        """Make what was written survive a power cut; blocks, so call it in a thread."""
        try:
            duplicate = os.dup(self._descriptor)  # the segment may be closed meanwhile
        except OSError:
            return  # nothing is open
        try:
            os.fdatasync(duplicate)
        finally:
            os.close(duplicate)

    def close(self) -> None:
        """Close the open segment."""
        if self._descriptor >= 0:
            self._close_segment()

    def _open_next(self) -> None:
        self._number += 1
        path = segment_path(self._folder, self._number)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._size = 0

    def _close_segment(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1
        self._sizes[self._number] = self._size
        self._size = 0
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
            log.error("journal.refused", extra={"error": repr(error)})
        self.unwritten.extend(clicks)
        excess = len(self.unwritten) - MAX_UNWRITTEN
        if excess > 0:
            metrics.CLICKS_DROPPED.labels("memory_full").inc(excess)
            for _ in range(excess):
                self.unwritten.popleft()
