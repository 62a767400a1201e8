"""Carries clicks from a slot's journal to the bus, at least once."""

import logging
import time
from collections import deque
from pathlib import Path

import msgspec

from redirector import metrics
from redirector.click_frames import ClickFrames
from redirector.journal_lines import Position, segment_path, segments
from redirector.journal_reader import JournalReader
from redirector.recent_lines import RecentLines

log = logging.getLogger(__name__)

# The bus writes its log to the disk once a second. What it acknowledged within this time before
# it restarted may be gone with it, and is sent again.
RESEND_SECONDS = 5.0
SETTLED_NAME = "settled.json"


class ClickSender:
    """Sends one journal; `sent` is acknowledged, `settled` is beyond the bus's memory lapses."""

    def __init__(
        self, folder: Path, frames: ClickFrames, recent: RecentLines | None = None
    ) -> None:
        self._folder = folder
        self._recent = recent or RecentLines()
        self._frames = frames
        self._reader = JournalReader(folder)
        self._settled = _load_settled(folder)
        self._history: deque[tuple[float, Position]] = deque()
        self._run_ids: set[str] | None = None
        self.sent = self._settled

    async def send_some(self) -> int:
        """Send the next lines as one frame and return their number; raises Redis's errors.

        After an error the outcome is unknown, so the same clicks are sent again: whoever
        stores them recognises an id it has.
        """
        begin = self.sent
        batch = self._recent.take_after(begin) or self._reader.read(begin)
        if batch.corrupt:
            metrics.CLICKS_DROPPED.labels("corrupt").inc(batch.corrupt)
            log.error("journal.corrupt", extra={"lines": batch.corrupt})
        if batch.lines:
            await self._frames.send(batch.lines)
        if self.sent == begin:  # else `settle` went back meanwhile
            self.sent = batch.position
        return len(batch.lines)

    async def settle(self) -> bool:
        """Once a second: go back if the bus restarted, and tell whether `settled` moved."""
        run_ids = await self._frames.run_ids()
        if self._run_ids is not None and self._run_ids != run_ids:
            log.warning("clicks.resend", extra={"since": RESEND_SECONDS})
            self.sent = self._settled
            self._history.clear()
        self._run_ids = run_ids
        now = time.monotonic()
        self._history.append((now, self.sent))
        moved = False
        while self._history[0][0] <= now - RESEND_SECONDS:
            settled = self._history.popleft()[1]
            moved = moved or settled != self._settled
            self._settled = settled
        return moved

    def save_settled(self) -> list[int]:
        """Note what is settled, drop segments before it, and return their numbers. For a thread."""
        path = self._folder / SETTLED_NAME
        draft = path.with_suffix(".draft")
        draft.write_bytes(msgspec.json.encode(self._settled))
        draft.replace(path)
        done = [n for n in segments(self._folder) if n < self._settled.segment]
        for number in done:
            segment_path(self._folder, number).unlink(missing_ok=True)
        return done

    def is_settled(self) -> bool:
        """Tell whether nothing is left to send, nor to keep for a restart of the bus."""
        return self._settled == self.sent and not self._reader.read(self.sent).lines

    def clear(self) -> None:
        """Remove what a settled journal left on disk."""
        for number in segments(self._folder):
            segment_path(self._folder, number).unlink(missing_ok=True)
        (self._folder / SETTLED_NAME).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the journal."""
        self._reader.close()


def _load_settled(folder: Path) -> Position:
    try:
        return msgspec.json.decode((folder / SETTLED_NAME).read_bytes(), type=Position)
    except (OSError, msgspec.DecodeError):
        return Position(0, 0)  # send all: what was stored already is recognised by its id
