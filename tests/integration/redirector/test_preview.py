"""`/{code}+`: where a link leads, told without going there."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from redis.asyncio import Redis

from shared.events import Rule, encoder
from tests.integration.redirector.conftest import Links, Start, clicks_on
from tests.integration.redirector.test_freshness import is_near
from tests.waiting import eventually

TARGET = "https://example.com/there?a=%3Cb%3E&c"
OTHER = "https://example.com/other"
BROWSER = {"Accept": "text/html"}


async def test_a_client_learns_target_title_and_age(start: Start, links: Links):
    await links.put("abc123", TARGET)
    await links.set("abc123", title="There", created_at=datetime(2026, 4, 3, 12, tzinfo=UTC))
    async with start() as redirector:
        answer = await redirector.ask("/abc123+")

    assert answer.status == 200
    assert json.loads(answer.body) == {
        "short_code": "abc123",
        "original_url": TARGET,
        "title": "There",
        "created_at": "2026-04-03T12:00:00",
    }
    assert answer.headers["x-robots-tag"] == "noindex"
    assert answer.headers["cache-control"] == "no-store"


async def test_a_browser_gets_a_page_that_runs_nothing(start: Start, links: Links):
    await links.put("abc123", TARGET)
    await links.set("abc123", title="<script>alert(1)</script>")
    async with start() as redirector:
        answer = await redirector.ask("/abc123+/", BROWSER)

    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert b"<script" not in answer.body
    assert b"https://example.com/there?a=%3Cb%3E&amp;c" in answer.body
    assert b'<meta name="robots" content="noindex">' in answer.body
    assert b'href="/abc123"' in answer.body


async def test_no_click_is_counted_also_of_a_remembered_link(
    start: Start, links: Links, bus: Redis
):
    await links.put("abc123", TARGET)
    await links.set("abc123", max_clicks=100)
    async with start() as redirector, links.beating():
        await eventually(lambda: is_near(redirector, links))
        followed = await eventually(lambda: clicks_on(bus))
        await asyncio.sleep(0.2)  # what is_near asked for has been sent
        followed = await clicks_on(bus)

        for path in ("/abc123+", "/abc123%2B", "/abc123+?src=qr"):
            assert (await redirector.ask(path)).status == 200
        assert (await redirector.ask("/abc123+", method="HEAD")).status == 200
        await redirector.ask("/abc123")  # what comes after all of them

        counted = await eventually(lambda: _more_than(bus, len(followed)))
        taken = int(await bus.get("taken:1") or 0)

    assert len(counted) == len(followed) + 1
    assert taken == len(counted)


async def _more_than(bus: Redis, number: int) -> list[Any]:
    clicks = await clicks_on(bus)
    return list(clicks) if len(clicks) > number else []


@pytest.mark.parametrize("headers", [{}, BROWSER])
@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ({"password_hash": PasswordHasher(1, 8, 1).hash("x")}, 403),
        ({"expires_at": datetime.now(UTC) - timedelta(days=1)}, 410),
        ({"starts_at": datetime.now(UTC) + timedelta(days=1)}, 410),
        ({"is_active": False}, 410),
        ({"deleted_at": datetime.now(UTC)}, 404),
    ],
)
async def test_what_leads_nowhere_or_is_secret_tells_no_target(
    start: Start, links: Links, columns: dict[str, Any], status: int, headers: dict[str, str]
):
    await links.put("abc123", TARGET)
    await links.set("abc123", title="Secret title", **columns)
    async with start() as redirector:
        answer = await redirector.ask("/abc123+", headers)

    assert answer.status == status
    assert b"example.com" not in answer.body
    assert b"Secret title" not in answer.body


async def test_of_a_link_that_is_over_it_shows_where_it_leads_from_then_on(
    start: Start, links: Links
):
    await links.put("abc123", TARGET)
    rules = '[{"target": "https://example.com/never"}]'
    over = {"expires_at": datetime.now(UTC), "expired_url": "https://example.com/over"}
    await links.set("abc123", rules=rules, password_hash="any", **over)
    async with start() as redirector:
        answer = await redirector.ask("/abc123+")

    assert answer.status == 200
    told = json.loads(answer.body)
    assert (told["original_url"], "varies" in told) == ("https://example.com/over", False)


async def test_a_link_that_had_all_its_clicks_is_gone_here_too(start: Start, links: Links):
    await links.put("abc123", TARGET)
    await links.set("abc123", max_clicks=1)
    async with start() as redirector:
        before = await redirector.ask("/abc123+")
        await redirector.ask("/abc123")
        after = await redirector.ask("/abc123+")

    assert (before.status, after.status) == (200, 410)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_nothing_is_done_to_a_preview(start: Start, links: Links, method: str):
    await links.put("abc123", TARGET)
    async with start() as redirector:
        answer = await redirector.ask("/abc123+", method=method)

    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert json.loads(answer.body) == {"error": "Method not allowed"}


@pytest.mark.parametrize("path", ["/nothing+", "/+", "/a%20b+", "/abc123++"])
async def test_what_is_no_code_is_not_found(start: Start, links: Links, path: str):
    await links.put("abc123", TARGET)
    async with start() as redirector:
        assert (await redirector.ask(path)).status == 404


async def test_a_link_with_rules_shows_where_it_leads_this_visitor(start: Start, links: Links):
    await links.put("abc123", TARGET)
    rules = [Rule(target=OTHER, languages=("de",))]
    await links.set("abc123", rules=encoder.encode(rules).decode())
    async with start() as redirector:
        german = await redirector.ask("/abc123+", {"Accept-Language": "de-AT"})
        other = await redirector.ask("/abc123+")

    assert json.loads(german.body)["original_url"] == OTHER
    assert json.loads(other.body)["original_url"] == TARGET
    assert json.loads(other.body)["varies"] is True


async def test_without_postgresql_what_is_remembered_is_told(start: Start, links: Links):
    record = await links.put("abc123", TARGET)
    await links.cache.set("u:{1/abc123}", b"%d:%b" % (record.version, encoder.encode(record)))
    async with start(postgres_dsn="postgres://nobody@127.0.0.1:1/none") as redirector:
        answer = await redirector.ask("/abc123+")

    assert json.loads(answer.body) == {"short_code": "abc123", "original_url": TARGET}
