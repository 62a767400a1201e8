"""What a redirector does while its stores are slow, silent, cut off or gone."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from redirector import click_sender, link_repository
from shared import link_cache
from shared.events import LinkRecord
from shared.postgres import Pool
from tests.faults.proxy import Proxy, proxy
from tests.integration.redirector.conftest import (
    Answer,
    Links,
    Redirector,
    Start,
    clicks_on,
    links,
    start,
)
from tests.waiting import eventually

__all__ = ["links", "start"]  # fixtures

OLD = "https://example.com/old"
NEW = "https://example.com/new"


@asynccontextmanager
async def before(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before the server of `url`, and the URL that goes through it."""
    parts = urlsplit(url)
    assert parts.port is not None
    async with proxy(parts.port) as running:
        netloc = parts.netloc.replace(str(parts.port), str(running.port))
        yield running, urlunsplit(parts._replace(netloc=netloc))


async def timed(redirector: Redirector, path: str) -> tuple[Answer, float]:
    began = time.monotonic()
    answer = await redirector.ask(path)
    return answer, time.monotonic() - began


async def remember(redirector: Redirector, links: Links, code: str = "abc123") -> None:
    """Have the redirector answer `code` from its own memory."""

    async def is_near() -> bool:
        await redirector.ask(f"/{code}")
        await link_cache.remove(links.cache, 1, code)
        await redirector.ask(f"/{code}")
        return await link_cache.get(links.cache, 1, code) is None

    await eventually(is_near)


async def test_a_worker_cut_off_from_the_bus_checks_before_it_answers(
    start: Start, links: Links, bus_url: str
):
    async with before(bus_url) as (line, url), start(bus_url=url) as redirector, links.beating():
        await links.put("abc123", OLD)
        await remember(redirector, links)
        line.is_black_hole = True

        record = await links.change("abc123", NEW)
        acknowledged = time.monotonic()
        async with asyncio.timeout(3.5):
            while (await redirector.ask("/abc123")).headers["location"] != NEW:
                await asyncio.sleep(0.05)

        assert record.version > 0
        assert time.monotonic() - acknowledged <= 3.5


async def test_a_worker_that_was_stopped_serves_nothing_old_when_it_goes_on(
    start: Start, links: Links, monkeypatch: pytest.MonkeyPatch
):
    """A stopped process's clock jumps: what it knew whole before is whole no more."""
    async with start() as redirector, links.beating():
        await links.put("abc123", OLD)
        await remember(redirector, links)
        record = await links.put("abc123", NEW)
        await link_cache.apply(links.cache, 1, "abc123", record)  # announced while it slept
        now = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: now() + 5.0)

        answer = await redirector.ask("/abc123")

    assert answer.headers["location"] == NEW


async def test_a_silent_cache_costs_little_until_the_breaker_opens_and_then_nothing(
    start: Start, links: Links, cache_url: str
):
    for number in range(40):
        await links.put(f"code{number}", OLD)
    async with before(cache_url) as (line, url), start(cache_url=url) as redirector:
        await redirector.ask("/code0")
        line.is_black_hole = True

        answers = [await timed(redirector, f"/code{number}") for number in range(1, 40)]

        assert {answer.headers.get("location") for answer, _ in answers} == {OLD}
        # Reading and taking the lease wait 50 ms each until five calls in a row have failed.
        slow = [seconds for _, seconds in answers if seconds > 0.045]
        assert len(slow) <= 8
        line.heal()

        async def is_used_again() -> bool:
            await redirector.ask("/code0")
            return bool(await links.cache.exists("u:{1/code0}"))

        await eventually(is_used_again)


async def test_links_redirect_while_the_cache_is_slow(start: Start, links: Links, cache_url: str):
    await links.put("abc123", OLD)
    async with before(cache_url) as (line, url), start(cache_url=url) as redirector:
        line.delay_seconds = 0.2

        answers = await asyncio.gather(*(redirector.ask("/abc123") for _ in range(30)))

    assert {answer.status for answer in answers} == {302}


async def test_a_silent_bus_delays_no_redirect_and_loses_no_click(
    start: Start, links: Links, bus: Redis, bus_url: str
):
    await links.put("abc123", OLD)
    async with before(bus_url) as (line, url), start(bus_url=url) as redirector:
        await redirector.ask("/abc123")
        line.is_black_hole = True

        answers = [await timed(redirector, "/abc123") for _ in range(50)]
        line.heal()

        assert {answer.status for answer, _ in answers} == {302}
        assert max(seconds for _, seconds in answers) < 0.5

        async def has_all() -> bool:
            return len({click.id for click in await clicks_on(bus)}) == 51

        await eventually(has_all)


async def test_a_frame_whose_outcome_is_unknown_is_sent_again(
    start: Start, links: Links, bus: Redis, bus_url: str
):
    await links.put("abc123", OLD)
    async with before(bus_url) as (line, url), start(bus_url=url) as redirector:
        await redirector.ask("/abc123")
        await eventually(lambda: clicks_on(bus))
        line.drops_replies = True
        await redirector.ask("/abc123")

        async def has(entries: int) -> bool:
            return len(await clicks_on(bus)) >= entries

        await eventually(lambda: has(2))  # it was carried out, and the reply is lost
        line.heal()
        await eventually(lambda: has(3))

    clicks = await clicks_on(bus)
    assert len({click.id for click in clicks}) == 2, "the same clicks, recognisable by their ids"


async def test_what_a_restarted_bus_may_have_forgotten_is_sent_again(
    start: Start, links: Links, bus: Redis, monkeypatch: pytest.MonkeyPatch
):
    await links.put("abc123", OLD)
    async with start() as redirector:
        await redirector.ask("/abc123")
        before_restart = await eventually(lambda: clicks_on(bus))
        await asyncio.sleep(click_sender.RESEND_SECONDS / 4)  # the run id is noted each second
        # A power cut took the last second of the log: the entry is gone, the run id another.
        await bus.delete("clicks")
        info = Redis.info

        async def restarted(self: Redis, section: str | None = None, *rest: str) -> object:
            return {**(await info(self, section, *rest)), "run_id": "another"}

        monkeypatch.setattr(Redis, "info", restarted)

        again = await eventually(lambda: clicks_on(bus))

    assert {click.id for click in again} == {click.id for click in before_restart}


async def test_a_gone_workers_journal_is_sent_by_its_neighbour(
    start: Start, links: Links, bus: Redis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("redirector.click_recorder.ADOPT_SECONDS", 0.1)
    await links.put("abc123", OLD)
    async with start(), start(bus_url="redis://127.0.0.1:1") as cut_off:
        for _ in range(3):
            await cut_off.ask("/abc123")
        assert await clicks_on(bus) == []
        # It ends with its clicks unsent; its neighbour keeps running.
    async with start():

        async def has_all() -> bool:
            return len({click.id for click in await clicks_on(bus)}) == 3

        await eventually(has_all)


async def test_a_slow_database_makes_misses_fail_in_time_and_hits_not_at_all(
    start: Start, links: Links
):
    await links.put("warm01", OLD)
    for number in range(60):
        await links.put(f"cold{number}", OLD)
    async with start() as redirector:
        await redirector.ask("/warm01")
        async with links.pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE urls IN ACCESS EXCLUSIVE MODE")

            cold = await asyncio.gather(
                *(timed(redirector, f"/cold{number}") for number in range(60))
            )
            warm = [await timed(redirector, "/warm01") for _ in range(20)]

        assert {answer.status for answer, _ in cold} == {503}
        assert all(answer.headers["retry-after"] == "1" for answer, _ in cold)
        assert max(seconds for _, seconds in cold) < 2.5
        assert {answer.status for answer, _ in warm} == {302}

        async def has_recovered() -> bool:
            return (await redirector.ask("/cold1")).status == 302

        await eventually(has_recovered)


async def test_with_both_stores_down_what_is_remembered_redirects_and_says_so(
    start: Start, links: Links, cache_url: str, database: str
):
    await links.put("abc123", OLD)
    await links.put("paused", OLD)
    async with (
        before(cache_url) as (cache_line, cache_through),
        before(database.rpartition("/")[0]) as (database_line, _),
    ):
        server, _, name = database.rpartition("/")
        head = server.rpartition("@")[2]
        dsn = f"postgres://shortwire_redirector:tests-only@{head}/{name}?sslmode=disable".replace(
            str(urlsplit(server).port), str(database_line.port)
        )
        async with start(cache_url=cache_through, postgres_dsn=dsn) as redirector:
            async with links.beating():
                await remember(redirector, links)
                await redirector.ask("/paused")
                await links.change("paused", OLD, active=False)  # announced: never served again

                async def is_known() -> bool:
                    return (await redirector.ask("/paused")).status == 410

                await eventually(is_known)
            for line in (cache_line, database_line):
                line.refuses = True
                line.cut()

            async def is_stale() -> bool:
                answer = await redirector.ask("/abc123")
                assert answer.headers.get("location") == OLD
                return answer.headers.get("x-cache") == "stale"

            await eventually(is_stale)  # from three seconds after the last heartbeat
            assert (await redirector.ask("/paused")).status == 410
            assert (await redirector.ask("/nothing")).status == 503
            for line in (cache_line, database_line):
                line.heal()

            async def is_whole_again() -> bool:
                return "x-cache" not in (await redirector.ask("/abc123")).headers

            await eventually(is_whole_again)


async def test_a_scanner_of_codes_fills_no_memory_and_hurts_no_visitor(start: Start, links: Links):
    await links.put("abc123", OLD)
    async with start(near_cache_links=100) as redirector, links.beating():
        await remember(redirector, links)
        scan = asyncio.gather(*(redirector.ask(f"/nothing{number}") for number in range(300)))
        real = [await redirector.ask("/abc123") for _ in range(20)]
        answers = await scan

    assert {answer.status for answer in answers} <= {404, 503}
    assert {answer.status for answer in real} == {302}
    lives = [await links.cache.pttl(f"u:{{1/nothing{number}}}") for number in range(300)]
    assert all(life <= link_cache.UNKNOWN_MS for life in lives)
    assert all(life != -1 for life in lives), "every entry of an unknown code ends by itself"


async def test_a_full_bus_leaves_clicks_in_the_journal_until_it_has_room(
    start: Start, links: Links, bus: Redis
):
    await links.put("abc123", OLD)
    async with start() as redirector:
        await bus.config_set("maxmemory", "1mb")
        try:
            answers = [await redirector.ask("/abc123") for _ in range(20)]
        finally:
            await bus.config_set("maxmemory", "512mb")

        assert {answer.status for answer in answers} == {302}

        async def has_all() -> bool:
            return len({click.id for click in await clicks_on(bus)}) == 20

        await eventually(has_all)


async def test_a_storm_of_evictions_costs_hits_and_no_truth(start: Start, links: Links):
    numbers = range(60)
    for number in numbers:
        await links.put(f"code{number}", OLD)
    stop = asyncio.Event()
    await links.cache.config_set("maxmemory", "2mb")
    try:
        async with start(near_cache_links=1) as redirector, links.beating():
            filler = asyncio.ensure_future(_fill(links.cache, stop))
            for number in numbers:
                await redirector.ask(f"/code{number}")
                await links.change(f"code{number}", NEW)

            answers = [await redirector.ask(f"/code{number}") for number in numbers]
            stop.set()
            await filler
    finally:
        await links.cache.config_set("maxmemory", "128mb")

    assert {answer.headers["location"] for answer in answers} == {NEW}


async def _fill(cache: Redis, stop: asyncio.Event) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        try:
            await cache.set(f"u:{{9/{number}}}", b"1:" + b"x" * 2000)
        except OutOfMemoryError:
            await asyncio.sleep(0.01)


async def test_a_flushed_cache_costs_one_read_a_code(
    start: Start, links: Links, monkeypatch: pytest.MonkeyPatch
):
    codes = [f"code{number}" for number in range(10)]
    for code in codes:
        await links.put(code, OLD)
    reads: list[str] = []
    find = link_repository.find

    async def counted(pool: Pool, domain: int, code: str) -> LinkRecord:
        reads.append(code)
        return await find(pool, domain, code)

    monkeypatch.setattr(link_repository, "find", counted)
    async with start() as redirector:
        await links.cache.flushall()
        answers = await asyncio.gather(
            *(redirector.ask(f"/{code}") for code in codes for _ in range(10))
        )

    assert {answer.status for answer in answers} == {302}
    assert set(reads) == set(codes)
    assert len(reads) <= len(codes) + 3  # the sampler reads a row each second, too


async def test_without_a_free_connection_misses_say_so_and_recover(start: Start, links: Links):
    for number in range(30):
        await links.put(f"cold{number}", OLD)
    async with start() as redirector:
        await redirector.ask("/cold0")
        await links.pool.execute("ALTER ROLE shortwire_redirector CONNECTION LIMIT 0")
        try:
            await links.pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE usename = 'shortwire_redirector'"
            )
            answers = await asyncio.gather(
                *(timed(redirector, f"/cold{number}") for number in range(1, 20))
            )
            warm = await redirector.ask("/cold0")
        finally:
            await links.pool.execute("ALTER ROLE shortwire_redirector CONNECTION LIMIT -1")

        assert {answer.status for answer, _ in answers} == {503}
        assert max(seconds for _, seconds in answers) < 2.0
        assert warm.status == 302

        async def has_recovered() -> bool:
            return (await redirector.ask("/cold25")).status == 302

        await eventually(has_recovered)
