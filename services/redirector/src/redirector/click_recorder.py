"""Records clicks: on disk at once, on the bus soon after, whatever happens in between."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from redirector import metrics, slots
from redirector.click_encoder import ClickEncoder
from redirector.click_frames import ClickFrames
from redirector.click_sender import ClickSender
from redirector.journal import Journal
from redirector.journal_lines import Line, Position
from redirector.recent_lines import RecentLines
from shared.errors import REDIS_ERRORS
from shared.tasks import background

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.02  # clicks within this time share a frame, whose cost is a hundred clicks'
SEND_TIMEOUT_SECONDS = 0.5
SETTLE_SECONDS = 1.0
ADOPT_SECONDS = 10.0
RETRY_MIN_SECONDS = 0.05
RETRY_MAX_SECONDS = 2.0
ORPHAN_PAUSE_SECONDS = 0.01  # between an orphan's frames, so that live clicks go first
MAX_FRAME_CLICKS = 100  # of a frame from memory; one from the journal is bounded by bytes


class ClickRecorder:
    """One worker's recorder, on the first free slot under `parent`."""

    def __init__(
        self, parent: Path, frames: ClickFrames, *, max_bytes: int, segment_bytes: int
    ) -> None:
        self._parent = parent
        self._frames = frames
        self._slot = _claim(parent)
        folder = self._slot.folder if self._slot else parent / "unusable"
        recent = RecentLines()
        self._sender = ClickSender(folder, frames, recent)
        self._journal = Journal(
            folder,
            recent,
            max_bytes=max_bytes,
            segment_bytes=segment_bytes,
            sent=self._sender.sent,
        )
        self.encoder = ClickEncoder()
        self._has_clicks = asyncio.Event()
        self._has_clicks.set()  # a predecessor may have left some
        self._wants_tending = asyncio.Event()
        self._wants_tending.set()

    def record(self, clicks: Sequence[bytes]) -> None:
        """Write clicks to the journal; never waits and never fails."""
        self._journal.append(clicks)
        self._has_clicks.set()
        if self._journal.wants_tending():
            self._wants_tending.set()
        metrics.RECORDED.total += len(clicks)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tend the journal, send, settle and adopt beside the block."""
        async with (
            background(self._tend(), name="journal.tend"),
            background(self._send(), name="clicks.send"),
            background(self._settle(), name="clicks.settle"),
            background(self._adopt(), name="clicks.adopt"),
        ):
            yield

    async def drain(self, seconds: float) -> None:
        """Send what is left, for at most `seconds`; the rest stays on disk for the next start."""
        try:
            async with asyncio.timeout(seconds):
                await self._send_all()
        except REDIS_ERRORS as error:
            log.warning("clicks.left_in_journal", extra={"error": error})

    def close(self) -> None:
        """Close the journal and free the slot."""
        self._journal.close()
        self._sender.close()
        if self._slot:
            self._slot.release()

    async def _tend(self) -> None:
        while True:
            await self._wants_tending.wait()
            self._wants_tending.clear()
            try:
                await self._journal.tend()
            except OSError as error:
                log.warning("journal.tend_retry", extra={"error": error})
                await asyncio.sleep(SETTLE_SECONDS)

    async def _send(self) -> None:
        pause = RETRY_MIN_SECONDS
        while True:
            await self._has_clicks.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._has_clicks.clear()
            try:
                await self._send_all()
            except REDIS_ERRORS as error:
                self._has_clicks.set()
                metrics.SEND_FAILURES.inc()
                log.warning("clicks.retry", extra={"error": error, "seconds": pause})
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_MAX_SECONDS)
            else:
                pause = RETRY_MIN_SECONDS

    async def _send_all(self) -> None:
        """Send what is there now: what comes meanwhile gathers for the next frame."""
        await self._send_unwritten()
        end = self._journal.end
        while self._sender.sent < end:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                count = await self._sender.send_some()
            self._journal.sent = self._sender.sent
            if not count:
                return

    async def _send_unwritten(self) -> None:
        """Send the clicks that the disk refused; they are only in memory."""
        waiting = self._journal.unwritten
        while waiting:
            payloads = [waiting.popleft() for _ in range(min(MAX_FRAME_CLICKS, len(waiting)))]
            try:
                async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                    await self._frames.send([Line(1, payload) for payload in payloads])
            except BaseException:
                waiting.extendleft(reversed(payloads))
                raise

    async def _settle(self) -> None:
        while True:
            written = self._journal.end
            await asyncio.sleep(SETTLE_SECONDS)
            try:
                for number in await _settle(self._sender):
                    self._journal.forget(number)
            except REDIS_ERRORS as error:  # or the disk's, an OSError too
                log.warning("journal.settle_retry", extra={"error": error})
            await self._sync_unless_sent(written)
            self._has_clicks.set()  # the bus may have restarted
            metrics.JOURNAL_BYTES.set(self._journal.size())
            metrics.JOURNAL_UNSENT_BYTES.set(self._journal.unsent())
            metrics.UNWRITTEN_CLICKS.set(len(self._journal.unwritten))

    async def _sync_unless_sent(self, written: Position) -> None:
        """Sync what the bus, which syncs by itself, did not take within a second."""
        self._journal.is_behind = self._sender.sent < written
        if self._journal.is_behind:
            try:
                await self._journal.sync()
            except OSError as error:
                log.warning("journal.sync_retry", extra={"error": error})

    async def _adopt(self) -> None:
        """Send the journals of processes that are gone and will not come back."""
        while True:
            await asyncio.sleep(ADOPT_SECONDS)
            for slot in slots.claim_orphans(self._parent):
                await self._send_orphan(slot)

    async def _send_orphan(self, slot: slots.Slot) -> None:
        sender = ClickSender(slot.folder, self._frames)
        try:
            while not sender.is_settled():
                async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                    count = await sender.send_some()
                await asyncio.sleep(ORPHAN_PAUSE_SECONDS if count else SETTLE_SECONDS)
                if not count:
                    await _settle(sender)
            sender.clear()
            log.info("journal.adopted", extra={"slot": slot.folder.name})
        except REDIS_ERRORS as error:
            log.warning("journal.adopt_retry", extra={"error": error})
        finally:
            sender.close()
            slot.release()


async def _settle(sender: ClickSender) -> list[int]:
    """Settle, and return the segments that were removed; raises Redis's errors and the disk's."""
    async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
        has_moved = await sender.settle()
    return await asyncio.to_thread(sender.save_settled) if has_moved else []


def _claim(parent: Path) -> slots.Slot | None:
    """Return a slot, or None where the disk refuses: redirects go on, clicks in memory only."""
    try:
        return slots.claim_first(parent)
    except OSError as error:
        log.error("journal.unusable", extra={"error": error})  # noqa: TRY400 - expected
        return None
