"""Clicks on disk before the visitor is answered: append-only segments, bounded, checksummed.

A segment is a text file of one line a click: the CRC-32 of the JSON in 8 hex digits, a space,
the JSON. One `write` a click reaches the kernel before it returns, so a killed process loses
nothing; only a power cut can, up to the last `sync`.
"""

import logging
import os
import zlib
from collections import deque
from pathlib import Path

import msgspec

from redirector import metrics

log = logging.getLogger(__name__)

MAX_UNWRITTEN = 10_000  # clicks kept in memory while the disk refuses them
CHECKSUM_LENGTH = 9  # 8 hex digits and a space
SUFFIX = ".journal"


class Position(msgspec.Struct, frozen=True, order=True):
    """A place in a journal: a segment's number and a byte offset in it."""

    segment: int
    offset: int


def segment_path(folder: Path, number: int) -> Path:
    """Return the file of segment `number`."""
    return folder / f"{number:012d}{SUFFIX}"


def segments(folder: Path) -> list[int]:
    """Return the numbers of the segments in `folder`, ascending."""
    return sorted(int(path.stem) for path in folder.glob(f"*{SUFFIX}"))


def encode_line(payload: bytes) -> bytes:
    """Return a click's line; `payload` must hold no line feed, as compact JSON does."""
    return b"%08x %b\n" % (zlib.crc32(payload), payload)


def decode_line(line: bytes) -> bytes | None:
    """Return the payload of a line without its line feed, or None where it is corrupt."""
    payload = line[CHECKSUM_LENGTH:]
    return payload if line[:CHECKSUM_LENGTH] == b"%08x " % zlib.crc32(payload) else None


class Journal:
    """The writing end of one slot's journal; exactly one process holds it (see `slots`)."""

    def __init__(self, folder: Path, *, max_bytes: int, segment_bytes: int, sent: Position) -> None:
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

    def append(self, payload: bytes) -> None:
        """Write one click; where the disk refuses, keep it in memory."""
        line = encode_line(payload)
        try:
            if self._descriptor < 0:
                self._open_next()
            written = os.write(self._descriptor, line)
            if written < len(line):  # the disk is full: leave no half a line
                os.ftruncate(self._descriptor, self._size)
                raise OSError(f"{written} of {len(line)} bytes written")  # noqa: TRY301
        except OSError as error:
            self._keep_in_memory(payload, error)
            return
        self._is_refused = False
        self._size += written
        if self._size >= self._segment_bytes:
            self._close_segment()

    def size(self) -> int:
        """Return the bytes of all segments."""
        return sum(self._sizes.values()) + self._size

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
            metrics.CLICKS_DROPPED.labels("journal_full").inc(unsent.count(b"\n"))
            log.error("journal.full", extra={"segment": oldest, "limit": self._max_bytes})
        path.unlink()
        del self._sizes[oldest]

    def _keep_in_memory(self, payload: bytes, error: OSError) -> None:
        metrics.JOURNAL_ERRORS.inc()
        if not self._is_refused:
            self._is_refused = True
            log.error("journal.refused", extra={"error": repr(error)})
        if len(self.unwritten) >= MAX_UNWRITTEN:
            self.unwritten.popleft()
            metrics.CLICKS_DROPPED.labels("memory_full").inc()
        self.unwritten.append(payload)
