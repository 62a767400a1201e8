"""The links this worker remembers: bounded, corrected by announcements, never going back."""

import random
import time
from collections import OrderedDict

from redirector import metrics
from redirector.answers import ReadyAnswer
from shared.events import LinkRecord

UNKNOWN_SECONDS = 5.0
UNKNOWN_SHARE = 10  # unknown codes take at most a tenth: scanners make them without end
SOFT_TTL_SECONDS = 3600.0
SOFT_TTL_JITTER = 0.2
ANNOUNCED_MAX = 20_000  # far more changes than any load in flight can outlast


class NearEntry:
    """A remembered record; `generation` tells whether it survived the last flush.

    `answer` is made at the first use: None until then, and for a link that has none.
    """

    __slots__ = ("answer", "generation", "record", "revalidate_at", "was_used")

    def __init__(self, record: LinkRecord, generation: int) -> None:
        self.record = record
        self.answer: ReadyAnswer | None = None
        self.generation = generation
        jitter = random.uniform(1 - SOFT_TTL_JITTER, 1 + SOFT_TTL_JITTER)  # noqa: S311 - no secret
        self.revalidate_at = record.cached_at + SOFT_TTL_SECONDS * jitter
        self.was_used = False


class NearCache:
    """Records by code. Announced changes always win over what a slower read brings."""

    def __init__(self, max_links: int) -> None:
        self._max_links = max_links
        self._max_unknown = max(1, max_links // UNKNOWN_SHARE)
        self._entries: dict[str, NearEntry] = {}
        self._unknown: dict[str, float] = {}
        self._announced: OrderedDict[str, NearEntry] = OrderedDict()
        self.generation = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, code: str) -> NearEntry | None:
        """Return the entry of `code`, if it survived the last flush."""
        entry = self._entries.get(code)
        if entry is None or entry.generation != self.generation:
            return None
        entry.was_used = True
        return entry

    def get_stale(self, code: str) -> LinkRecord | None:
        """Return what was last known of `code`, for when nothing can be asked."""
        entry = self._entries.get(code)
        return None if entry is None else entry.record

    def is_known_unknown(self, code: str) -> bool:
        """Tell whether PostgreSQL had no such code a moment ago."""
        until = self._unknown.get(code)
        return until is not None and time.monotonic() < until

    def store(self, code: str, record: LinkRecord, generation: int) -> LinkRecord:
        """Remember what a read brought and return the newest record known of `code`.

        `generation` is the cache's at the start of the read: a flush since then means that
        an announcement may have been missed, so nothing is remembered.
        """
        newest = self._newest(code, record, generation)
        if generation != self.generation:
            return newest
        if newest.state == "unknown":
            self._store_unknown(code)
        else:
            self._put(code, newest)
        return newest

    def announce(self, code: str, record: LinkRecord) -> bool:
        """Take in an announced change: replace an older entry, outrank reads in flight.

        Return whether it was announced for the first time: the relay repeats what a request has
        announced itself.
        """
        before = self._announced.get(code)
        newest = self._newest(code, record, self.generation)
        self._announced[code] = NearEntry(newest, self.generation)
        self._announced.move_to_end(code)
        if len(self._announced) > ANNOUNCED_MAX:
            self._announced.popitem(last=False)
        self._unknown.pop(code, None)
        if code in self._entries:
            self._put(code, newest)
        return before is None or before.record.version < record.version

    def count_unknown(self) -> int:
        """Return how many codes are remembered to lead nowhere."""
        return len(self._unknown)

    def flush(self) -> None:
        """Trust no entry any more; they stay for `get_stale`."""
        self.generation += 1
        self._unknown.clear()

    def _newest(self, code: str, record: LinkRecord, generation: int) -> LinkRecord:
        """Return the newest of `record` and what came to be known since `generation`.

        What was known before a flush must not outrank a read that began after it: a code that
        was purged meanwhile reads as unknown, whose version is the oldest of all.
        """
        for known in (self._announced.get(code), self._entries.get(code)):
            if known is not None and known.generation >= generation:
                record = max(record, known.record, key=lambda candidate: candidate.version)
        return record

    def _put(self, code: str, record: LinkRecord) -> None:
        self._entries[code] = NearEntry(record, self.generation)
        while len(self._entries) > self._max_links:
            self._evict_one()

    def _evict_one(self) -> None:
        """Drop the oldest entry that was not used since it was last looked at (CLOCK)."""
        while True:
            oldest = next(iter(self._entries))
            entry = self._entries.pop(oldest)
            if not entry.was_used:
                metrics.NEAR_EVICTIONS.inc()
                return
            entry.was_used = False
            self._entries[oldest] = entry

    def _store_unknown(self, code: str) -> None:
        self._unknown.pop(code, None)
        self._unknown[code] = time.monotonic() + UNKNOWN_SECONDS
        if len(self._unknown) > self._max_unknown:
            self._unknown.pop(next(iter(self._unknown)))
