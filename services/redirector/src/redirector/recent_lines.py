"""The journal's last lines in memory, so that what is sent soon is not read from the disk first."""

from collections import deque

import msgspec

from redirector.journal_lines import Batch, Line, Position

MAX_BYTES = 4 << 20  # waiting to be sent; beyond, they come from the disk after all
RUN_BYTES = 256 << 10  # sent at once


class _Run(msgspec.Struct):
    """Lines that follow one another in a segment, from `start` to `end`."""

    segment: int
    start: int
    end: int
    lines: list[Line]


class RecentLines:
    """Runs of lines by where they stand in the journal; any of them may be missing here."""

    def __init__(self) -> None:
        self._runs: deque[_Run] = deque()
        self._bytes = 0

    def add(self, segment: int, start: int, end: int, line: Line) -> None:
        """Remember a line that was written from `start` to `end`."""
        last = self._runs[-1] if self._runs else None
        if (
            last is not None
            and last.end == start
            and last.segment == segment
            and end - last.start <= RUN_BYTES
        ):
            last.lines.append(line)
            last.end = end
        else:
            self._runs.append(_Run(segment, start, end, [line]))
        self._bytes += end - start
        if self._bytes > MAX_BYTES:
            self._runs.clear()
            self._bytes = 0

    def take_after(self, position: Position) -> Batch | None:
        """Return, once, the run that begins at `position`; None: only the disk can tell.

        A run that begins before it is forgotten: of what was sent in part, the rest is on the disk.
        """
        place = position.segment, position.offset
        while self._runs and (self._runs[0].segment, self._runs[0].start) <= place:
            run = self._runs.popleft()
            self._bytes -= run.end - run.start
            if (run.segment, run.start) == place:
                return Batch(run.lines, Position(run.segment, run.end))
        return None
