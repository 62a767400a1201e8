"""From a code to its record: near cache, shared cache, PostgreSQL; stale rather than nothing."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Literal

import msgspec
from redis.asyncio import Redis

from redirector import metrics
from redirector.answers import ReadyAnswer, ready_answer
from redirector.dependency import Dependency, DependencyDown
from redirector.link_follower import LinkFollower
from redirector.link_store import LinkStore
from redirector.lookups import counted
from redirector.near_cache import NearCache
from shared import link_cache
from shared.checkpoints import checkpoint
from shared.errors import REDIS_ERRORS, Unavailable
from shared.events import LinkRecord

CACHE_TIMEOUT_SECONDS = 0.05
VISITOR_TIMEOUT_SECONDS = 1.5
MAX_LOADS = 256  # codes being loaded at once; a visitor beyond is told to come back
STALE_MAX_SECONDS = 24 * 3600.0

NO_CODE = "-"  # too short for a code: asks the stores without finding anything

Source = Literal["near", "cache", "database", "stale"]


class Resolution(msgspec.Struct, frozen=True):
    """A record and where it came from."""

    record: LinkRecord
    source: Source


Load = Callable[[str], Coroutine[object, object, Resolution]]


class Resolver:
    """Resolves codes of one domain for one worker."""

    def __init__(
        self, near: NearCache, follower: LinkFollower, cache: Redis, store: LinkStore, domain: int
    ) -> None:
        self._near = near
        self._follower = follower
        self._cache = cache
        self._store = store
        self._domain = domain
        self._loads: dict[str, asyncio.Task[Resolution]] = {}
        metrics.NEAR_LINKS.set_function(near.__len__)
        metrics.NEAR_UNKNOWN.set_function(near.count_unknown)
        metrics.LOADS.set_function(self._loads.__len__)
        self._cache_guard = Dependency(
            "cache", timeout=CACHE_TIMEOUT_SECONDS, unavailable=REDIS_ERRORS
        )

    async def resolve(self, code: str) -> Resolution:
        """Return the record of `code`; raises `Unavailable` where nobody can tell."""
        if self.is_fresh():
            entry = self._near.get(code)
            if entry is not None:
                if time.time() > entry.revalidate_at and len(self._loads) < MAX_LOADS:
                    self._load_once(code, self._revalidate)
                metrics.NEAR_HIT.inc()
                return Resolution(entry.record, "near")
            if self._near.is_known_unknown(code):
                metrics.NEAR_NEGATIVE.inc()
                unknown = LinkRecord(version=0, state="unknown", cached_at=time.time())
                return Resolution(unknown, "near")
        metrics.NEAR_MISS.inc()
        try:
            async with asyncio.timeout(VISITOR_TIMEOUT_SECONDS):
                return await asyncio.shield(self._load_once(code, self._load))
        except (DependencyDown, TimeoutError):
            return self._stale(code)

    def is_fresh(self) -> bool:
        """Tell whether what is remembered can be trusted without asking."""
        return self._follower.is_fresh()

    def ready_answer(self, code: str, now: float) -> ReadyAnswer | None:
        """Return the answer of a remembered link, if it is the same for every visitor.

        To be asked only while `is_fresh`; `now` is Unix time in seconds.
        """
        entry = self._near.get(code)
        if entry is None or now > entry.revalidate_at:
            return None
        if entry.answer is None:
            entry.answer = ready_answer(self._domain, code, entry.record, now)
        answer = entry.answer
        if answer is not None and answer.expires_at is not None and now >= answer.expires_at:
            return None
        return answer

    async def close(self) -> None:
        """Wait for the loads in flight: each is bounded by its time limits."""
        await asyncio.gather(*self._loads.values(), return_exceptions=True)

    async def check(self) -> None:
        """Raise `DependencyDown` unless the shared cache or PostgreSQL answers."""
        try:
            await self._cached(NO_CODE)
        except DependencyDown:
            await self._store.find(NO_CODE)

    def _load_once(self, code: str, load: Load) -> asyncio.Task[Resolution]:
        """Return the one load of `code` under way; a visitor who leaves does not end it."""
        task = self._loads.get(code)
        if task is None:
            if len(self._loads) >= MAX_LOADS:
                metrics.LOADS_REFUSED.inc()
                raise Unavailable
            task = asyncio.get_running_loop().create_task(load(code))
            self._loads[code] = task
            task.add_done_callback(lambda done: self._forget(code, done))
        return task

    def _forget(self, code: str, task: asyncio.Task[Resolution]) -> None:
        del self._loads[code]
        if not task.cancelled():
            task.exception()  # mark as seen: the visitors may all have left

    async def _load(self, code: str) -> Resolution:
        generation = self._near.generation
        try:
            cached = await self._cached(code)
        except DependencyDown:
            cached = None
        if cached is None:
            return await self._revalidate(code)
        return Resolution(self._remember(code, cached, generation), "cache")

    async def _revalidate(self, code: str) -> Resolution:
        """Read PostgreSQL, and fill the shared cache if nothing changed meanwhile."""
        generation = self._near.generation
        token = await self._take_lease(code)
        record = await self._store.find(code)
        if token is not None:
            await self._fill(code, token, record)
        return Resolution(self._remember(code, record, generation), "database")

    async def _take_lease(self, code: str) -> str | None:
        try:
            with checkpoint("cache_lease"):
                token = await self._cache_guard.ask(
                    lambda: link_cache.take_lease(self._cache, self._domain, code),
                    self._cache_part(code),
                )
        except DependencyDown:
            return None
        if token is not None:
            metrics.LEASES_TAKEN.inc()
        return token

    async def _fill(self, code: str, token: str, record: LinkRecord) -> None:
        try:
            with checkpoint("cache_set"):
                filled = await self._cache_guard.ask(
                    lambda: link_cache.fill(self._cache, self._domain, code, token, record),
                    self._cache_part(code),
                )
        except DependencyDown:
            return
        if not filled:
            metrics.LEASES_LOST.inc()

    def _cache_part(self, code: str) -> Redis:
        return link_cache.part_of(self._cache, self._domain, code)

    async def _cached(self, code: str) -> LinkRecord | None:
        return await counted(
            "cache",
            self._cache_guard.ask(
                lambda: link_cache.get(self._cache, self._domain, code), self._cache_part(code)
            ),
        )

    def _remember(self, code: str, record: LinkRecord, generation: int) -> LinkRecord:
        return self._near.store(code, record, generation)

    def _stale(self, code: str) -> Resolution:
        record = self._near.get_stale(code)
        if record is None or time.time() - record.cached_at > STALE_MAX_SECONDS:
            raise Unavailable
        return Resolution(record, "stale")
