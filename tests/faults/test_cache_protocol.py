"""A stateful property test of the cache protocol, over the real Redis and PostgreSQL."""

import asyncio
import os
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from redirector import breaker, link_follower, link_repository, link_store
from redirector.link_follower import LinkFollower
from redirector.link_store import LinkStore
from redirector.near_cache import NearCache
from redirector.resolver import Resolver
from shared import link_cache, postgres, redis_client, streams
from shared.events import LinkChanged, LinkRecord, RelayHeartbeat, encoder
from shared.postgres import Pool
from tests import tracing
from tests.conftest import database_url
from tests.integration.redirector.test_replicas import asked
from tests.redis_cluster import LocalCluster
from tests.replica import Replica

EXAMPLES = int(os.environ.get("SOAK_EXAMPLES", "60"))
STEPS = 30
LINKS = ["abc", "def"]
ALIAS = "alias"
CODES = [*LINKS, ALIAS]
WORKERS = [0, 1]
codes = st.sampled_from(["abc", "abc", "abc", "def"])  # one is enough for most races
read_codes = st.sampled_from(["abc", "abc", ALIAS, ALIAS, "def"])
workers = st.sampled_from(WORKERS)
STORES: dict[str, str] = {}  # set by the fixture: a state machine takes no arguments

UPSERT = """
    INSERT INTO urls (short_code, user_id, original_url, is_active) VALUES ($1, 1, $2, $3)
        ON CONFLICT (domain_id, short_code) DO UPDATE
       SET original_url = $2, is_active = $3, deleted_at = NULL,
           version = nextval('url_version_seq')
"""
TRASH = """
    UPDATE urls SET deleted_at = now(), version = nextval('url_version_seq')
     WHERE short_code = $1 AND deleted_at IS NULL
"""
PURGE = "DELETE FROM urls WHERE short_code = $1"
NEXT_VERSION = "SELECT nextval('url_version_seq')"
RENEW = """
    UPDATE urls SET version = nextval('url_version_seq')
     WHERE short_code = $1 AND deleted_at IS NULL RETURNING id
"""
ADD_ALIAS = """
    INSERT INTO url_aliases (short_code, url_id) VALUES ($1, $2) ON CONFLICT DO NOTHING
"""
DROP_ALIAS = "DELETE FROM url_aliases WHERE short_code = $1 AND url_id = $2"
SELECT_CODES = """
    SELECT short_code FROM urls WHERE short_code = $1
    UNION ALL
    SELECT alias.short_code FROM url_aliases AS alias JOIN urls ON urls.id = alias.url_id
     WHERE urls.short_code = $1
"""


class Worker:
    """A redirector's memory, and the versions it has served."""

    def __init__(self, feed: Redis, cache: Redis, pool: Pool, replicas: Pool | None) -> None:
        self.near = NearCache(max_links=1)  # one of three codes: eviction happens all the time
        self.follower = LinkFollower(feed, self.near, tracing.off())
        self.store = LinkStore(pool, replicas, 1)
        self.resolver = Resolver(self.near, self.follower, cache, self.store, 1)
        self.served: dict[str, int] = {}
        self.reading: dict[str, tuple[int, str | None, LinkRecord]] = {}


class CacheProtocol(RuleBasedStateMachine):
    """Writers, a relay, readers and failing stores in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.outbox: list[tuple[str, LinkRecord]] = []
        self.targets = 0

    def wait(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)

    @initialize()
    def open(self) -> None:
        self.wait(self._open())

    async def _open(self) -> None:
        self.cache = redis_client.connect(
            STORES["cache"], name="property", max_connections=20, timeout=5
        )
        self.bus = redis_client.connect(
            STORES["bus"], name="property", max_connections=20, timeout=5
        )
        self.pool = await asyncpg.create_pool(STORES["database"], min_size=1, max_size=4)
        await self._empty_cache()
        await self.bus.flushall()
        await self.pool.execute("TRUNCATE urls, url_aliases, users CASCADE")
        await self.pool.execute("INSERT INTO users VALUES (1, 'ada', 'ada@example.com')")
        self.replicas = await self._open_replicas()
        self.all = [self._worker() for _ in WORKERS]
        for worker in self.all:
            await worker.follower._join()

    def _worker(self) -> Worker:
        return Worker(self.bus, self.cache, self.pool, self.replicas)

    async def _open_replicas(self) -> Pool | None:
        return None

    async def _row(self, code: str) -> LinkRecord:
        return await link_repository.find(self.pool, 1, code)

    @rule(code=codes, active=st.booleans(), announces=st.booleans(), hearer=workers)
    def change(self, code: str, active: bool, announces: bool, hearer: int) -> None:
        """Commit; then, as a request tries, apply and announce, overtaking the relay."""
        self.targets += 1
        target = f"https://example.com/{self.targets}"
        self.wait(self.pool.execute(UPSERT, code, target, active))
        changes = self._changes(code)
        self.outbox += changes
        if announces:
            for each, record in changes:
                self.wait(link_cache.apply(self.cache, 1, each, record))
                self.wait(self._announce(each, record))
            self.hear(hearer)

    def _changes(self, code: str) -> list[tuple[str, LinkRecord]]:
        """What is to be announced of a link: its record, under each of its codes."""
        rows = self.wait(self.pool.fetch(SELECT_CODES, code))
        return [(each["short_code"], self.wait(self._row(each["short_code"]))) for each in rows]

    @rule(code=codes)
    def delete(self, code: str) -> None:
        if self.wait(self.pool.execute(TRASH, code)) != "UPDATE 0":
            self.outbox += self._changes(code)

    @rule(code=codes)
    def add_alias(self, code: str) -> None:
        """Give a link another code, if that is free; the link's version moves."""
        url_id = self.wait(self.pool.fetchval(RENEW, code))
        if url_id is not None:
            self.wait(self.pool.execute(ADD_ALIAS, ALIAS, url_id))
            self.outbox += self._changes(code)

    @rule(code=codes)
    def drop_alias(self, code: str) -> None:
        """Take it back: from the link's new version on, the code is unknown."""
        url_id = self.wait(self.pool.fetchval(RENEW, code))
        if url_id is not None:
            dropped = self.wait(self.pool.execute(DROP_ALIAS, ALIAS, url_id)) != "DELETE 0"
            self.outbox += self._changes(code)
            if dropped:
                self._free([ALIAS], self.wait(self._row(code)).version)

    @rule(code=codes)
    def purge(self, code: str) -> None:
        """An administrator frees the codes: the announcements say "unknown", newer than the row."""
        freed = [each for each, _ in self._changes(code)]
        if freed:
            self.wait(self.pool.execute(PURGE, code))
            self._free(freed, self.wait(self.pool.fetchval(NEXT_VERSION)))

    def _free(self, freed: list[str], version: int) -> None:
        record = LinkRecord(version=version, state="unknown", cached_at=0.0)
        self.outbox += [(code, record) for code in freed]

    @rule(crashes=st.sampled_from(["not", "not", "after apply", "after announcing"]))
    def relay(self, crashes: str) -> None:
        """Announce all that waits, or die on the way with the first and do it again later."""
        while self.outbox:
            code, record = self.outbox[0]
            self.wait(link_cache.apply(self.cache, 1, code, record))
            if crashes == "after apply":
                return
            self.wait(self._announce(code, record))
            if crashes == "after announcing":
                return
            self.outbox.pop(0)

    async def _announce(self, code: str, record: LinkRecord) -> None:
        message = LinkChanged(code=code, operation="updated", record=record, committed_at=0.0)
        await self.bus.xadd(streams.LINKS, {streams.LINKS_MESSAGE: encoder.encode(message)})

    @rule(number=workers)
    def hear(self, number: int) -> None:
        self.wait(self._hear(self.all[number]))

    async def _hear(self, worker: Worker) -> None:
        beat = encoder.encode(RelayHeartbeat(at=0.0))
        await self.bus.xadd(streams.LINKS, {streams.LINKS_MESSAGE: beat})
        await worker.follower._read()

    @rule(number=workers, code=read_codes)
    def read(self, number: int, code: str) -> None:
        worker = self.all[number]
        record = self.wait(worker.resolver.resolve(code)).record
        self._served(worker, code, record)

    @rule(number=workers, code=read_codes)
    def slow_read_begins(self, number: int, code: str) -> None:
        worker = self.all[number]
        generation = worker.near.generation
        token = self.wait(link_cache.take_lease(self.cache, 1, code))
        worker.reading[code] = (generation, token, self.wait(worker.store.find(code)))

    @rule(number=workers, code=read_codes)
    def slow_read_ends(self, number: int, code: str) -> None:
        worker = self.all[number]
        if code not in worker.reading:
            return
        generation, token, record = worker.reading.pop(code)
        if token is not None:
            self.wait(link_cache.fill(self.cache, 1, code, token, record))
        self._served(worker, code, worker.near.store(code, record, generation))

    @rule(number=workers, code=codes, hearer=workers)
    def slow_read_is_overtaken(self, number: int, code: str, hearer: int) -> None:
        """The race that everything here is about, often enough to be met in every combination."""
        self.slow_read_begins(number, code)
        self.change(code, active=True, announces=True, hearer=hearer)
        self.relay("not")
        self.slow_read_ends(number, code)

    @rule(number=workers, code=codes)
    def an_alias_is_taken_back_while_it_is_read(self, number: int, code: str) -> None:
        """The same race, of a code that comes and goes."""
        self.add_alias(code)
        self.relay("not")
        self.read(number, ALIAS)
        self.slow_read_begins(number, ALIAS)
        self.drop_alias(code)
        self.relay("not")
        self.slow_read_ends(number, ALIAS)

    def _served(self, worker: Worker, code: str, record: LinkRecord) -> None:
        announced = worker.near._announced.get(code)
        if announced is not None:
            is_current = announced.generation == worker.near.generation
            is_as_new = record.version >= announced.record.version
            # A code that is remembered to lead nowhere has no version.
            is_same = record.state == announced.record.state == "unknown"
            assert not is_current or is_as_new or is_same, "an announced change was undone"
        worker.served[code] = record.version

    @rule(code=read_codes)
    def evict_entry(self, code: str) -> None:
        self.wait(link_cache.remove(self.cache, 1, code))

    @rule(code=read_codes)
    def lease_expires(self, code: str) -> None:
        self.wait(self.cache.delete(link_cache._lease_key(1, code)))

    @rule()
    def cache_restarts_empty(self) -> None:
        self.wait(self._empty_cache())

    async def _empty_cache(self) -> None:
        for node in redis_client.nodes(self.cache):
            await node.flushall()

    @rule()
    def the_stream_is_trimmed_while_workers_are_cut_off(self) -> None:
        self.wait(self.bus.xtrim(streams.LINKS, maxlen=0, approximate=False))
        for worker in self.all:
            self.wait(worker.follower._join())

    @invariant()
    def with_all_announced_what_is_cached_is_what_is_stored(self) -> None:
        if hasattr(self, "all") and not self.outbox:
            self.wait(self._compare_cache())

    async def _compare_cache(self) -> None:
        for code in CODES:
            cached = await link_cache.get(self.cache, 1, code)
            if cached is not None:
                row = await self._row(code)
                assert (cached.state, cached.target) == (row.state, row.target)

    def teardown(self) -> None:
        if not hasattr(self, "all"):
            self.loop.close()
            return
        self.relay("not")
        for number in WORKERS:
            self.hear(number)
        stranger = self._worker()  # it has heard nothing: what is cached?
        for worker in [*self.all, stranger]:
            for code in CODES:
                answer = self.wait(worker.resolver.resolve(code)).record
                row = self.wait(self._row(code))
                assert (answer.state, answer.target) == (row.state, row.target)
        self.wait(self._close())
        self.loop.close()

    async def _close(self) -> None:
        for worker in self.all:
            await worker.resolver.close()
        await self.cache.aclose()
        await self.bus.aclose()
        await self.pool.close()
        if self.replicas is not None:
            await self.replicas.close()


REPLICAS: list[Replica] = []  # set by the test, as STORES is


class CacheProtocolWithReplica(CacheProtocol):
    """The same, and workers read from a replica whose replay stops and goes on."""

    async def _open_replicas(self) -> Pool | None:
        [replica] = REPLICAS
        await replica.go_on()
        await replica.caught_up()
        return await postgres.create_pool(
            STORES["replica"], name="property", max_size=2, command_timeout=5, standbys=True
        )

    @rule()
    def replay_stops(self) -> None:
        self.wait(REPLICAS[0].hold())

    @rule()
    def replay_goes_on(self) -> None:
        self.wait(REPLICAS[0].go_on())


async def test_after_quiescence_every_worker_answers_as_postgresql_does(
    database: str, cache_url: str, bus_url: str, monkeypatch: pytest.MonkeyPatch
):
    await _run(EXAMPLES, database, cache_url, bus_url, monkeypatch)


async def test_so_it_is_on_a_cluster(
    database: str, cluster: LocalCluster, bus_url: str, monkeypatch: pytest.MonkeyPatch
):
    assert len({cluster.owner_of(link_cache._entry_key(1, code)) for code in CODES}) > 1

    await _run(EXAMPLES // 4, database, cluster.url, bus_url, monkeypatch)


async def test_so_it_is_with_a_replica_that_falls_behind(
    database: str,
    cache_url: str,
    bus_url: str,
    replica: Replica,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(link_repository, "CATCH_UP_SECONDS", 0.01)
    monkeypatch.setattr(link_store, "REPLICA_TIMEOUT_SECONDS", 5.0)
    for name in ("OPEN_SECONDS_MIN", "OPEN_SECONDS_MAX"):  # ask it again at once
        monkeypatch.setattr(breaker, name, 0.0)
    REPLICAS[:] = [replica]
    STORES["replica"] = replica.url(database)
    before = [asked("replica", result) for result in ("hit", "negative", "unavailable")]

    await _run(EXAMPLES // 2, database, cache_url, bus_url, monkeypatch, CacheProtocolWithReplica)

    after = [asked("replica", result) for result in ("hit", "negative", "unavailable")]
    assert all(more > less for more, less in zip(after, before, strict=True)), "it was asked"


async def _run(
    examples: int,
    database: str,
    cache_url: str,
    bus_url: str,
    monkeypatch: pytest.MonkeyPatch,
    machine: type[CacheProtocol] = CacheProtocol,
) -> None:
    server, _, name = database.rpartition("/")
    STORES.update(database=database_url(f"{server}/x", name), cache=cache_url, bus=bus_url)
    monkeypatch.setattr(link_follower, "BLOCK_MS", 1)
    await asyncio.to_thread(
        run_state_machine_as_test,
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
