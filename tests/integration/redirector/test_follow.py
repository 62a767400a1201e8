import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from redis.asyncio import Redis

from redirector import orphan_counts
from redirector.orphan_counts import OrphanCounts
from shared import redis_client, streams
from tests.integration.redirector.conftest import Links, Start, clicks_on
from tests.waiting import eventually


async def test_a_link_redirects_on_both_paths_with_and_without_slash(start: Start, links: Links):
    await links.put("abc123", "https://example.com/a?b=1#c")
    async with start() as redirector:
        for path in ("/abc123", "/abc123/", "/urls/abc123/redirect", "/urls/abc123/redirect/"):
            answer = await redirector.ask(path)

            assert answer.status == 302
            assert answer.headers["location"] == "https://example.com/a?b=1#c"
            assert answer.headers["cache-control"] == "private, max-age=0"
            assert answer.body == b""


async def test_every_followed_redirect_is_one_click_with_its_facts(
    start: Start, links: Links, bus: Redis
):
    record = await links.put("abc123")
    async with start() as redirector:
        headers = {
            "Referer": "https://news.example.com/item?id=7",
            "User-Agent": "Browser/1.0",
            "X-Request-ID": "request-1",
        }
        await redirector.ask("/abc123", headers)

        clicks = await eventually(lambda: clicks_on(bus))

    assert len(clicks) == 1
    click = clicks[0]
    assert (click.code, click.url_id, click.user_id) == ("abc123", record.url_id, 1)
    assert (click.referrer, click.user_agent) == ("https://news.example.com", "Browser/1.0")
    assert click.request_id == "request-1"
    assert click.id.version == 7
    assert click.id.int >> 80 == pytest.approx(click.at.timestamp() * 1000, abs=50)


async def test_a_request_the_gateway_sends_twice_is_one_click(
    start: Start, links: Links, bus: Redis
):
    await links.put("abc123")
    headers = {"X-Request-ID": "request-1", "X-Request-Start": f"{time.time():.3f}"}
    async with start() as first, start() as second:
        await first.ask("/abc123", headers)
        await second.ask("/abc123", headers)

    clicks = await clicks_on(bus)
    assert len(clicks) == 2
    assert len({(click.id, click.at) for click in clicks}) == 1


async def test_head_answers_the_same_and_is_no_click(start: Start, links: Links, bus: Redis):
    await links.put("abc123")
    async with start() as redirector:
        answer = await redirector.ask("/abc123", method="HEAD")

    assert answer.status == 302
    assert await clicks_on(bus) == []


async def test_inactive_deleted_and_unknown_codes_say_so(start: Start, links: Links, bus: Redis):
    await links.put("paused", active=False)
    await links.put("trashed")
    await links.pool.execute("UPDATE urls SET deleted_at = now() WHERE short_code = 'trashed'")
    async with start() as redirector:
        answers = [await redirector.ask(f"/{code}") for code in ("paused", "trashed", "nothing")]

    assert [answer.status for answer in answers] == [410, 404, 404]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert [json.loads(answer.body)["error"] for answer in answers] == [
        "URL is deactivated",
        "Not found",
        "Not found",
    ]
    assert await clicks_on(bus) == []


async def test_visits_to_unknown_codes_are_counted_and_no_clicks(
    start: Start, links: Links, bus: Redis
):
    await links.put("paused", active=False)
    async with start() as redirector:
        for path in ("/misprint", "/misprint?a=b", "/urls/other/redirect", "/paused", "/a.b"):
            await redirector.ask(path)
        await redirector.ask("/misprint", method="HEAD")
        await redirector.ask("/misprint", headers={"Sec-Purpose": "prefetch"})

    counts = await bus.hgetall(streams.orphans_key(1, datetime.now(UTC).date()))
    assert counts == {b"misprint": b"2", b"other": b"1"}
    assert await clicks_on(bus) == []


async def test_a_scanner_fills_neither_memory_nor_the_bus(
    bus: Redis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(orphan_counts, "MAX_CODES", 3)
    monkeypatch.setattr(orphan_counts, "MAX_CODES_A_DAY", 5)
    workers = [OrphanCounts(bus, 1), OrphanCounts(bus, 1)]
    for worker, letter in zip(workers, "ab", strict=True):
        for number in range(10):
            worker.count(f"{letter}{number}")
        worker.count(f"{letter}0")
        await worker.send()

    key = streams.orphans_key(1, datetime.now(UTC).date())
    counts = await bus.hgetall(key)
    assert set(counts) == {b"a0", b"a1", b"a2", b"b0", b"*"}
    assert sum(map(int, counts.values())) == 22
    assert (counts[b"a0"], counts[b"b0"]) == (b"2", b"2")
    assert 0 < await bus.ttl(key) <= orphan_counts.KEPT_SECONDS


async def test_what_the_bus_did_not_take_is_counted_later(bus: Redis):
    async with redis_client.connect(
        "redis://127.0.0.1:1", name="tests", max_connections=1, timeout=1
    ) as away:
        counts = OrphanCounts(away, 1)
        counts.count("misprint")
        await counts.send()
    counts._bus = bus
    counts.count("misprint")

    await counts.send()

    stored = await bus.hgetall(streams.orphans_key(1, datetime.now(UTC).date()))
    assert stored == {b"misprint": b"2"}


@pytest.mark.parametrize("path", ["/a%00b", "/%ff%fe", "/caf%C3%A9", f"/{200 * 'x'}", "/a.b"])
async def test_what_cannot_be_a_code_is_not_found_without_asking_anyone(start: Start, path: str):
    async with start(
        postgres_dsn="postgres://nobody@127.0.0.1:1/none", cache_url="redis://127.0.0.1:1"
    ) as redirector:
        answer = await redirector.ask(path)

    assert answer.status == 404


async def test_other_methods_and_paths_get_the_error_shape(start: Start, links: Links):
    await links.put("abc123")
    async with start() as redirector:
        wrong_method = await redirector.ask("/abc123", method="POST")
        wrong_path = await redirector.ask("/abc123/deeper/path")

    assert wrong_method.status == 405
    assert {"GET", "HEAD"} == set(wrong_method.headers["allow"].replace(" ", "").split(","))
    assert json.loads(wrong_method.body)["error"]
    assert wrong_path.status == 404
    assert json.loads(wrong_path.body)["error"]


async def test_a_browser_gets_a_friendly_page_with_the_same_status(start: Start, links: Links):
    await links.put("paused", active=False)
    async with start() as redirector:
        answer = await redirector.ask("/paused", {"Accept": "text/html,*/*;q=0.8"})

    assert answer.status == 410
    assert answer.headers["content-type"].startswith("text/html")
    assert b"URL is deactivated" in answer.body


async def test_a_request_id_is_echoed_where_sane_and_made_where_not(start: Start):
    async with start() as redirector:
        sane = await redirector.ask("/nothing", {"X-Request-ID": "abc-1"})
        too_long = await redirector.ask("/nothing", {"X-Request-ID": "x" * 129})

    assert sane.headers["x-request-id"] == "abc-1"
    assert UUID(too_long.headers["x-request-id"])


async def test_a_row_that_would_break_a_header_is_escaped(start: Start, links: Links):
    await links.put("abc123", "https://example.com/\r\nSet-Cookie: a=b")
    async with start() as redirector:
        answer = await redirector.ask("/abc123")

    assert answer.headers["location"] == "https://example.com/%0D%0ASet-Cookie:%20a=b"
    assert "set-cookie" not in answer.headers


async def test_clicks_wait_on_disk_while_the_bus_is_away_and_the_next_start_sends_them(
    start: Start, links: Links, bus: Redis
):
    await links.put("abc123")
    async with start(bus_url="redis://127.0.0.1:1") as redirector:
        for _ in range(3):
            assert (await redirector.ask("/abc123")).status == 302
    assert await clicks_on(bus) == []

    async with start():
        clicks = await eventually(lambda: clicks_on(bus))

    assert len(clicks) == 3


async def test_a_stop_sends_what_is_waiting(start: Start, links: Links, bus: Redis):
    await links.put("abc123")
    async with start() as redirector:
        await asyncio.gather(*(redirector.ask("/abc123") for _ in range(50)))

    clicks = await clicks_on(bus)
    assert len({click.id for click in clicks}) == 50


async def test_redirects_go_on_without_a_journal(
    start: Start, links: Links, bus: Redis, tmp_path: Path
):
    await links.put("abc123")
    (tmp_path / "file").touch()
    async with start(journal_dir=tmp_path / "file") as redirector:
        assert (await redirector.ask("/abc123")).status == 302

        assert len(await eventually(lambda: clicks_on(bus))) == 1


async def test_without_stores_a_visitor_is_told_to_come_back(start: Start):
    async with start(
        postgres_dsn="postgres://nobody@127.0.0.1:1/none", cache_url="redis://127.0.0.1:1"
    ) as redirector:
        answer = await redirector.ask("/abc123")
        ready = await redirector.ask("/health/ready")
        alive = await redirector.ask("/health")

    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert ready.status == 503
    assert alive.status == 200
