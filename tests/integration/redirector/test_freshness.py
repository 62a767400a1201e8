import asyncio
from typing import cast

import pytest
from redis.asyncio import Redis

from redirector import cache_sampler, metrics, near_cache
from redirector.cache_sampler import CacheSampler
from shared import link_cache, redis_client, streams
from shared.events import LinkRecord, LinkState, encoder
from tests.integration.redirector.conftest import Links, Redirector, Start
from tests.waiting import eventually

OLD = "https://example.com/old"
NEW = "https://example.com/new"


async def target(redirector: Redirector, code: str = "abc123") -> str | None:
    return (await redirector.ask(f"/{code}")).headers.get("location")


async def is_near(redirector: Redirector, links: Links) -> bool:
    """Warm the near cache until it answers alone: with the stores' copies gone."""
    for _ in range(2):
        for node in redis_client.nodes(links.cache):
            await node.flushall()
        await redirector.ask("/abc123")
    return not await links.cache.exists("u:{1/abc123}")


async def test_a_change_reaches_a_worker_that_remembers_the_link(start: Start, links: Links):
    await links.put("abc123", OLD)
    async with start() as redirector, links.beating():
        await eventually(lambda: is_near(redirector, links))

        await links.change("abc123", NEW)

        async with asyncio.timeout(1):
            while await target(redirector) != NEW:
                pass


async def test_a_created_code_answers_although_it_was_asked_for_before(start: Start, links: Links):
    async with start() as redirector, links.beating():
        assert (await redirector.ask("/abc123")).status == 404
        assert await links.cache.pttl("u:{1/abc123}") <= link_cache.UNKNOWN_MS

        await links.change("abc123", NEW)

        async with asyncio.timeout(1):
            while await target(redirector) != NEW:
                pass


async def test_a_worker_that_hears_no_heartbeat_checks_the_shared_cache(start: Start, links: Links):
    await links.put("abc123", OLD)
    async with start() as redirector:
        async with links.beating():
            await eventually(lambda: is_near(redirector, links))
            await target(redirector)
        record = await links.put("abc123", NEW)
        await link_cache.apply(links.cache, 1, "abc123", record)  # the announcement is lost

        async with asyncio.timeout(5):
            while await target(redirector) != NEW:
                await asyncio.sleep(0.1)


async def test_an_old_entry_is_checked_against_its_row_at_its_next_hit(
    start: Start, links: Links, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(near_cache, "SOFT_TTL_SECONDS", 0.2)
    await links.put("abc123", OLD)
    async with start() as redirector, links.beating():
        await eventually(lambda: is_near(redirector, links))
        await links.put("abc123", NEW)  # nobody says so: a fault of ours, or of a restored back-up
        await asyncio.sleep(0.3)

        assert await target(redirector) == OLD  # the visitor does not wait for the check
        async with asyncio.timeout(2):
            while await target(redirector) != NEW:
                await asyncio.sleep(0.02)


async def test_a_gap_in_the_stream_makes_the_worker_start_afresh(
    start: Start, links: Links, bus: Redis
):
    await links.put("abc123", OLD)
    async with start() as redirector, links.beating():
        await eventually(lambda: is_near(redirector, links))
        # The worker's line is cut, and what it missed is trimmed before it is back.
        record = await links.put("abc123", NEW)
        async with bus.pipeline(transaction=True) as pipeline:
            pipeline.delete(streams.LINKS)
            pipeline.client_kill_filter(_type="normal", skipme=True)
            await pipeline.execute()
        await link_cache.apply(links.cache, 1, "abc123", record)

        async with asyncio.timeout(5):
            while await target(redirector) != NEW:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "message", [b'{"type": "link.changed.v9"}', b'{"type": "\xff"}', b'{"a":' + b"[" * 9999]
)
async def test_an_unreadable_message_makes_the_worker_trust_nothing(
    start: Start, links: Links, bus: Redis, message: bytes
):
    await links.put("abc123", OLD)
    async with start() as redirector, links.beating():
        await eventually(lambda: is_near(redirector, links))
        record = await links.put("abc123", NEW)
        await link_cache.apply(links.cache, 1, "abc123", record)

        await bus.xadd(streams.LINKS, {streams.LINKS_MESSAGE: message})

        async with asyncio.timeout(2):
            while await target(redirector) != NEW:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("entry", [b"", b"7:{", b'7:{"state":"\xff"}', b'7:{"a":' + b"[" * 9999])
async def test_an_unreadable_entry_is_none(start: Start, links: Links, entry: bytes):
    await links.put("abc123", NEW)
    await links.cache.set("u:{1/abc123}", entry)
    async with start() as redirector:
        assert await target(redirector) == NEW


async def test_a_slow_reader_never_puts_an_old_row_over_a_newer_one(links: Links):
    old = await links.put("abc123", OLD)
    token = await link_cache.take_lease(links.cache, 1, "abc123")
    assert token is not None

    new = await links.put("abc123", NEW)
    await link_cache.apply(links.cache, 1, "abc123", new)

    assert not await link_cache.fill(links.cache, 1, "abc123", token, old)
    assert await link_cache.get(links.cache, 1, "abc123") is None


async def test_only_one_reader_of_a_code_fills(links: Links):
    assert await link_cache.take_lease(links.cache, 1, "abc123") is not None

    assert await link_cache.take_lease(links.cache, 1, "abc123") is None


async def test_a_change_replaces_a_cached_entry_in_place_and_never_by_an_older(links: Links):
    records = [await links.put("abc123", f"https://example.com/{n}") for n in range(3)]
    token = cast("str", await link_cache.take_lease(links.cache, 1, "abc123"))
    assert await link_cache.fill(links.cache, 1, "abc123", token, records[0])

    for record in (records[2], records[1], records[2]):
        await link_cache.apply(links.cache, 1, "abc123", record)

    assert await link_cache.get(links.cache, 1, "abc123") == records[2]


async def test_a_cold_link_stays_cold(links: Links):
    record = await links.put("abc123")

    await link_cache.apply(links.cache, 1, "abc123", record)

    assert await link_cache.get(links.cache, 1, "abc123") is None


async def test_a_scripts_loss_is_noticed_and_mended(links: Links):
    record = await links.put("abc123")
    for node in redis_client.nodes(links.cache):
        await node.script_flush()

    await link_cache.apply(links.cache, 1, "abc123", record)


async def test_a_wave_of_misses_is_one_read_of_the_row(start: Start, links: Links):
    await links.put("abc123", OLD)
    await links.pool.execute("SELECT pg_stat_reset()")
    async with start() as redirector:
        answers = await asyncio.gather(*(target(redirector) for _ in range(50)))

    async def reads() -> int | None:
        return cast(
            "int | None",
            await links.pool.fetchval(
                "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'urls_code'"
            ),
        )

    assert set(answers) == {OLD}
    assert await eventually(reads) <= 5  # 50 without single-flight; a wave may come in parts


async def test_cached_links_redirect_without_postgresql(start: Start, links: Links):
    record = LinkRecord(version=5, state="active", cached_at=2e9, url_id=1, user_id=1, target=OLD)
    token = cast("str", await link_cache.take_lease(links.cache, 1, "abc123"))
    await link_cache.fill(links.cache, 1, "abc123", token, record)
    async with start(postgres_dsn="postgres://nobody@127.0.0.1:1/none") as redirector:
        assert await target(redirector) == OLD


async def test_links_redirect_without_the_cache(start: Start, links: Links):
    await links.put("abc123", OLD)
    async with start(cache_url="redis://127.0.0.1:1") as redirector:
        answers = [await target(redirector) for _ in range(20)]

    assert set(answers) == {OLD}


async def test_the_sampler_finds_and_heals_an_entry_unlike_its_row(
    links: Links, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cache_sampler, "ON_ITS_WAY_SECONDS", 0.01)
    old = await links.put("abc123", OLD)
    await links.put("abc123", NEW)
    token = cast("str", await link_cache.take_lease(links.cache, 1, "abc123"))
    await link_cache.fill(links.cache, 1, "abc123", token, old)
    before = metrics.CACHE_INCONSISTENT._value.get()

    await CacheSampler(links.cache, links.pool).sample()

    assert metrics.CACHE_INCONSISTENT._value.get() == before + 1
    assert await link_cache.get(links.cache, 1, "abc123") is None


async def test_the_sampler_lets_a_change_on_its_way_arrive(links: Links):
    old = await links.put("abc123", OLD)
    new = await links.put("abc123", NEW)
    token = cast("str", await link_cache.take_lease(links.cache, 1, "abc123"))
    await link_cache.fill(links.cache, 1, "abc123", token, old)
    before = metrics.CACHE_INCONSISTENT._value.get()

    sampling = asyncio.ensure_future(CacheSampler(links.cache, links.pool).sample())
    await asyncio.sleep(0.1)
    await link_cache.apply(links.cache, 1, "abc123", new)
    await sampling

    assert metrics.CACHE_INCONSISTENT._value.get() == before


@pytest.mark.parametrize("state", ["deleted", "unknown"])
async def test_the_sampler_agrees_with_what_is_remembered_of_a_freed_code(
    links: Links, state: LinkState
):
    gone = LinkRecord(version=7, state=state, cached_at=0.0)
    await links.cache.set("u:{1/abc123}", b"7:" + encoder.encode(gone))
    before = metrics.CACHE_INCONSISTENT._value.get()

    await CacheSampler(links.cache, links.pool).sample()

    assert metrics.CACHE_INCONSISTENT._value.get() == before
    assert await link_cache.get(links.cache, 1, "abc123") == gone


async def test_an_entry_that_cannot_be_read_is_none_and_ends_nobody(start: Start, links: Links):
    await links.put("abc123", OLD)
    await links.cache.set("u:{1/abc123}", b"7:not a record")
    async with start() as redirector:
        assert await target(redirector) == OLD
        await CacheSampler(links.cache, links.pool).sample()
