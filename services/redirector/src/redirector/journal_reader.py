"""The reading end of a journal: from a position to the clicks after it."""

import os
from pathlib import Path

from redirector.journal_lines import Batch, Position, decode_line, segment_path, segments
from redirector.segment import UNWRITTEN

READ_BYTES = 256 << 10  # of one read, and so of a frame; a line is far shorter


class JournalReader:
    """Reads one folder's segments; the writer may be at work in the last one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = -1
        self._descriptor = -1

    def read(self, start: Position) -> Batch:
        """Return some clicks after `start`, none where all are read."""
        position = start
        while True:
            chunk = self._chunk(position)
            if chunk:
                return _split(chunk, position)
            later = [n for n in segments(self._folder) if n > position.segment]
            following = next(filter(self._is_begun, later), None)
            if following is None:
                return Batch([], position)
            # The writer may have appended between our read and its closing of the segment.
            chunk = self._chunk(position)
            if chunk:
                return _split(chunk, position)
            position = Position(following, 0)

    def close(self) -> None:
        """Close the open segment."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._number = -1

    def _chunk(self, position: Position) -> bytes:
        if self._number != position.segment:
            self.close()
            try:
                path = segment_path(self._folder, position.segment)
                self._descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                return b""
            self._number = position.segment
        return os.pread(self._descriptor, READ_BYTES, position.offset).partition(UNWRITTEN)[0]

    def _is_begun(self, number: int) -> bool:
        """Tell whether something was written to it, for which it may only have been made ready."""
        try:
            with segment_path(self._folder, number).open("rb") as file:
                return file.read(1) not in {b"", UNWRITTEN}
        except FileNotFoundError:
            return False


def _split(chunk: bytes, start: Position) -> Batch:
    end = chunk.rfind(b"\n") + 1
    if not end:  # a torn tail without its line feed: nothing after it in this segment
        return Batch([], Position(start.segment, start.offset + len(chunk)), corrupt=1)
    raw_lines = chunk[: end - 1].split(b"\n")
    lines = [line for line in map(decode_line, raw_lines) if line is not None]
    position = Position(start.segment, start.offset + end)
    return Batch(lines, position, corrupt=len(raw_lines) - len(lines))
