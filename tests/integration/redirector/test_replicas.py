"""Links read from a replica: never older than the primary's, and the primary where it is away."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from redirector import app, breaker, link_repository, link_store, metrics, resolver
from redirector.link_repository import Behind
from redirector.link_store import LinkStore
from shared import link_cache, postgres
from shared.postgres import Pool
from tests.conftest import database_url
from tests.integration.redirector.conftest import Links, Redirector, Start
from tests.integration.redirector.test_on_a_cluster import sample
from tests.replica import Replica
from tests.waiting import eventually

OLD = "https://example.com/old"
NEW = "https://example.com/new"
RACE_SECONDS = 3.0
HELD_UP_SECONDS = 0.3
CODES = [f"code{number}" for number in range(20)]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that on a busy machine nothing is slow but what a test holds up."""
    monkeypatch.setattr(app, "QUERY_TIMEOUT_SECONDS", 5.0)
    monkeypatch.setattr(link_repository, "ACQUIRE_TIMEOUT_SECONDS", 5.0)
    monkeypatch.setattr(link_repository, "CATCH_UP_SECONDS", 3.0)
    monkeypatch.setattr(link_store, "PRIMARY_TIMEOUT_SECONDS", 5.0)
    monkeypatch.setattr(link_store, "REPLICA_TIMEOUT_SECONDS", 5.0)
    monkeypatch.setattr(resolver, "CACHE_TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr(resolver, "VISITOR_TIMEOUT_SECONDS", 12.0)


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no test waits long for a replica that it holds up."""
    monkeypatch.setattr(link_repository, "CATCH_UP_SECONDS", 0.05)
    monkeypatch.setattr(breaker, "OPEN_SECONDS_MAX", breaker.OPEN_SECONDS_MIN)


@pytest.fixture
def read_dsn(database: str, replica: Replica) -> str:
    head, _, name = database.rpartition("/")
    return replica.url(database_url(f"{head}/postgres", name, "shortwire_redirector"))


@pytest.fixture
async def replicas(read_dsn: str) -> AsyncIterator[Pool]:
    async with await postgres.create_pool(
        read_dsn, name="tests", max_size=2, command_timeout=5, standbys=True
    ) as pool:
        yield pool


def asked(tier: str, result: str = "hit") -> float:
    return sample(metrics.LOOKUPS, tier=tier, result=result)


async def answers(redirector: Redirector, codes: Sequence[str] = CODES) -> list[str | None]:
    found = await asyncio.gather(*(redirector.ask(f"/{code}") for code in codes))
    return [answer.headers.get("location") for answer in found]


async def test_misses_are_answered_by_the_replica(start: Start, links: Links, read_dsn: str):
    for code in CODES:
        await links.put(code, OLD)
    before = asked("replica"), asked("database")
    async with start(postgres_read_dsn=read_dsn) as redirector:
        assert await answers(redirector) == [OLD] * len(CODES)
        assert (await redirector.ask("/nobody")).status == 404

    assert asked("replica") - before[0] == len(CODES)
    assert asked("database") == before[1]
    assert await link_cache.get(links.cache, 1, CODES[0]) is not None


@pytest.mark.usefixtures("hurry")
async def test_while_the_replica_is_behind_the_primary_answers(
    start: Start,
    links: Links,
    read_dsn: str,
    replica: Replica,
):
    for code in CODES:
        await links.put(code, OLD)
    await replica.caught_up()
    await replica.hold()
    for code in CODES:
        await links.change(code, NEW)  # announced before anyone listens
    async with start(postgres_read_dsn=read_dsn) as redirector, links.beating():
        assert await answers(redirector) == [NEW] * len(CODES)
        assert {record.target for record in await cached(links)} == {NEW}

        await links.change("another", NEW)
        assert await answers(redirector, ["another"]) == [NEW], "a new link works at once"

        before = asked("replica", "negative")
        await replica.go_on()
        await eventually(lambda: is_asked_again(redirector, before))


async def cached(links: Links) -> list[Any]:
    return [await link_cache.get(links.cache, 1, code) for code in CODES]


async def is_asked_again(redirector: Redirector, before: float) -> bool:
    await redirector.ask(f"/nobody{time.monotonic_ns()}")  # a code that nobody remembers
    return asked("replica", "negative") > before


@pytest.mark.usefixtures("hurry")
async def test_a_code_that_was_unknown_is_found_once_it_is_made(
    start: Start, links: Links, read_dsn: str, replica: Replica
):
    async with start(postgres_read_dsn=read_dsn) as redirector, links.beating():
        assert await answers(redirector, ["abc123"]) == [None]
        await replica.hold()

        await links.change("abc123", NEW)

        async with asyncio.timeout(1):
            while await answers(redirector, ["abc123"]) != [NEW]:
                pass


async def test_without_the_replica_the_primary_answers(
    start: Start, links: Links, read_dsn: str, replica: Replica
):
    for code in CODES:
        await links.put(code, OLD)
    async with start(postgres_read_dsn=read_dsn) as redirector:
        assert await answers(redirector, CODES[:5]) == [OLD] * 5
        replica.kill()
        try:
            assert await answers(redirector) == [OLD] * len(CODES)
        finally:
            replica.revive()


async def test_of_several_replicas_one_may_be_away(start: Start, links: Links, read_dsn: str):
    for code in CODES:
        await links.put(code, OLD)
    before = asked("replica")
    several = read_dsn.replace("@", "@127.0.0.1:1,", 1)
    async with start(postgres_read_dsn=several) as redirector:
        assert await answers(redirector) == [OLD] * len(CODES)

    assert asked("replica") - before == len(CODES)


async def test_a_primary_is_no_replica(start: Start, links: Links, database: str):
    """A replica that was promoted does not know what its old primary commits."""
    await links.put("abc123", OLD)
    async with start(postgres_read_dsn=database) as redirector:
        before = asked("replica")
        assert await answers(redirector, ["abc123"]) == [OLD]

    assert asked("replica") == before


async def test_a_read_waits_for_a_replica_that_is_a_moment_behind(
    links: Links, replicas: Pool, replica: Replica
):
    await links.put("abc123", OLD)
    await replica.caught_up()
    await replica.hold()
    record = await links.put("abc123", NEW)
    end = await link_repository.end_of_log(links.pool)

    reading = asyncio.ensure_future(
        link_repository.find_after(replicas, 1, ["abc123", "nobody"], end)
    )
    await asyncio.sleep(0.1)
    assert not reading.done()
    await replica.go_on()
    found = await reading

    assert found["abc123"].version == record.version
    assert found["nobody"].state == "unknown"


@pytest.mark.usefixtures("hurry")
async def test_one_that_stays_behind_is_given_up(links: Links, replicas: Pool, replica: Replica):
    await replica.hold()
    await links.put("abc123", NEW)
    end = await link_repository.end_of_log(links.pool)

    with pytest.raises(Behind):
        await link_repository.find_after(replicas, 1, ["abc123"], end)


async def test_misses_at_the_same_time_are_one_question(
    links: Links, replicas: Pool, monkeypatch: pytest.MonkeyPatch
):
    for code in CODES:
        await links.put(code, OLD)
    asked_for: list[Sequence[str]] = []
    find_after = link_repository.find_after

    async def spy(pool: Pool, domain: int, codes: Sequence[str], end: int) -> Any:
        asked_for.append(codes)
        return await find_after(pool, domain, codes, end)

    monkeypatch.setattr(link_repository, "find_after", spy)
    store = LinkStore(links.pool, replicas, 1)

    found = await asyncio.gather(*(store.find(code) for code in CODES))

    assert {record.target for record in found} == {OLD}
    assert asked_for == [CODES]


class Race:
    """A writer, readers, and a replica that stops and goes on."""

    def __init__(self, links: Links, store: LinkStore, replica: Replica) -> None:
        self.links = links
        self.store = store
        self.replica = replica
        self.until = time.monotonic() + RACE_SECONDS
        self.committed = {"abc123": 0, "def456": 0}

    def goes_on(self) -> bool:
        return time.monotonic() < self.until

    async def write(self, code: str) -> None:
        while self.goes_on():
            self.committed[code] = (await self.links.put(code)).version
            await asyncio.sleep(0.001)

    async def read(self, code: str) -> None:
        while self.goes_on():
            version = self.committed[code]
            assert (await self.store.find(code)).version >= version
            await asyncio.sleep(random.uniform(0, 0.01))  # not in step

    async def hold_up(self) -> None:
        while self.goes_on():
            await asyncio.sleep(HELD_UP_SECONDS)
            await self.replica.hold()
            await asyncio.sleep(HELD_UP_SECONDS)
            await self.replica.go_on()


async def test_nothing_is_read_that_was_replaced_before_the_question(
    links: Links, replicas: Pool, replica: Replica, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(link_repository, "CATCH_UP_SECONDS", HELD_UP_SECONDS / 3)
    monkeypatch.setattr(breaker, "OPEN_SECONDS_MAX", 0.0)
    monkeypatch.setattr(breaker, "OPEN_SECONDS_MIN", 0.0)
    race = Race(links, LinkStore(links.pool, replicas, 1), replica)
    before = asked("replica"), asked("replica", "unavailable")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(race.hold_up())
        for code in race.committed:
            tasks.create_task(race.write(code))
            for _ in range(4):
                tasks.create_task(race.read(code))

    assert asked("replica") > before[0]
    assert asked("replica", "unavailable") > before[1]


@pytest.mark.usefixtures("hurry")
async def test_who_comes_after_the_look_at_the_log_is_not_told_what_it_found(
    links: Links, replicas: Pool, replica: Replica, monkeypatch: pytest.MonkeyPatch
):
    await links.put("abc123", OLD)
    await replica.caught_up()
    await replica.hold()
    looked, go_on = asyncio.Event(), asyncio.Event()
    end_of_log = link_repository.end_of_log

    async def slow(primary: Pool) -> int:
        end = await end_of_log(primary)
        looked.set()
        await go_on.wait()
        return end

    monkeypatch.setattr(link_repository, "end_of_log", slow)
    store = LinkStore(links.pool, replicas, 1)
    first = asyncio.ensure_future(store.find("abc123"))
    await looked.wait()
    await links.put("abc123", NEW)
    second = asyncio.ensure_future(store.find("abc123"))
    await asyncio.sleep(0)  # it has asked
    go_on.set()

    assert (await first).target == OLD
    assert (await second).target == NEW
