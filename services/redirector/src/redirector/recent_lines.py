"""The journal's last lines in memory, so that what is sent soon is not read from the disk first."""

from collections import deque

from redirector.journal_lines import Batch, Line, Position

MAX_BYTES = 4 << 20  # waiting to be sent; beyond, they come from the disk after all


class RecentLines:
    """Lines by where they stand in the journal; any of them may be missing here."""

    def __init__(self) -> None:
        self._lines: deque[tuple[int, int, int, Line]] = deque()  # segment, start, end
        self._bytes = 0

    def add(self, segment: int, start: int, end: int, line: Line) -> None:
        """Remember a line that was written from `start` to `end`."""
        self._lines.append((segment, start, end, line))
        self._bytes += end - start
        if self._bytes > MAX_BYTES:
            self._lines.clear()
            self._bytes = 0

    def take_after(self, position: Position, most_bytes: int) -> Batch | None:
        """Return, once, what follows `position` without a gap; None: only the disk can tell."""
        segment, offset = position.segment, position.offset
        while self._lines and self._lines[0][:2] < (segment, offset):
            self._forget_first()
        lines: list[Line] = []
        limit = offset + most_bytes
        while self._lines and self._lines[0][:2] == (segment, offset) and offset < limit:
            offset = self._lines[0][2]
            lines.append(self._forget_first())
        return Batch(lines, Position(segment, offset)) if lines else None

    def _forget_first(self) -> Line:
        _, start, end, line = self._lines.popleft()
        self._bytes -= end - start
        return line
