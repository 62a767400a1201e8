"""What an owner may set of a link, as its visitors see it."""

import asyncio
import http.client
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from argon2 import PasswordHasher
from redis.asyncio import Redis

from redirector import link_repository
from shared.events import Click, Rule, encoder
from tests.integration.redirector.conftest import (
    Answer,
    Links,
    Redirector,
    Start,
    clicks_on,
)
from tests.integration.redirector.test_freshness import is_near
from tests.waiting import eventually

TARGET = "https://example.com/there"
OTHER = "https://example.com/other"
PHONE = {
    "User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1"
}
LAPTOP = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/131.0.0.0 Safari/537.36"}


async def post(
    redirector: Redirector, path: str, body: bytes, headers: Mapping[str, str]
) -> Answer:
    def send() -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", redirector.port, timeout=5)
        try:
            connection.request("POST", path, body, dict(headers))
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, fields, response.read())
        finally:
            connection.close()

    return await asyncio.to_thread(send)


async def unlock(redirector: Redirector, password: str, **headers: str) -> Answer:
    fields = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    return await post(redirector, "/abc123", urlencode({"password": password}).encode(), fields)


async def rules(links: Links, *rules: Rule) -> None:
    await links.set("abc123", rules=encoder.encode(rules).decode())


async def location(redirector: Redirector, headers: dict[str, str]) -> str:
    return (await redirector.ask("/abc123", headers)).headers["location"]


async def test_an_expired_link_is_gone_also_where_it_was_remembered(start: Start, links: Links):
    await links.put("abc123", TARGET)
    await links.set("abc123", expires_at=datetime.now(UTC) + timedelta(seconds=3))
    ends = time.time() + 3
    async with start() as redirector, links.beating():
        await eventually(lambda: is_near(redirector, links))
        assert (await redirector.ask("/abc123")).status == 302

        await asyncio.sleep(ends - time.time() + 0.1)
        answer = await redirector.ask("/abc123")

    assert answer.status == 410
    assert json.loads(answer.body) == {"error": "URL has expired"}


async def test_a_link_leads_nowhere_until_it_begins(start: Start, links: Links, bus: Redis):
    await links.put("abc123", TARGET)
    await links.put("remembered", TARGET)
    begins = datetime.now(UTC) + timedelta(seconds=3)
    for code in ("abc123", "remembered"):
        await links.set(code, starts_at=begins, max_clicks=None if code == "abc123" else 1)
    async with start() as redirector, links.beating():
        asked = [
            await redirector.ask(path, headers, method)
            for headers in ({}, {"Accept": "text/html"})
            for method in ("GET", "HEAD")
            for path in ("/abc123", "/urls/abc123/redirect", "/remembered", "/abc123?a=b")
        ]
        assert datetime.now(UTC) < begins
        assert await clicks_on(bus) == []

        await asyncio.sleep((begins - datetime.now(UTC)).total_seconds() + 0.01)
        late = [await redirector.ask(f"/{code}") for code in ("abc123", "remembered")]
        clicks = await eventually(lambda: _two(bus))
        assert await eventually(lambda: is_near(redirector, links))

    assert {answer.status for answer in asked} == {410}
    assert json.loads(asked[0].body) == {"error": "URL is not active yet"}
    assert b"<h1>" in asked[8].body
    assert b"URL is not active yet" in asked[8].body
    assert [answer.status for answer in late] == [302, 302]
    assert {click.code for click in clicks} == {"abc123", "remembered"}


async def _two(bus: Redis) -> list[Click]:
    clicks = await clicks_on(bus)
    return clicks if len(clicks) == 2 else []


async def test_a_link_that_was_followed_can_be_put_off(start: Start, links: Links):
    await links.put("abc123", TARGET)
    async with start() as redirector, links.beating():
        await eventually(lambda: is_near(redirector, links))
        await links.set("abc123", starts_at=datetime.now(UTC) + timedelta(days=1))
        await links.announce("abc123", await link_repository.find(links.pool, 1, "abc123"))

        await eventually(lambda: _is_gone(redirector))
        assert (await redirector.ask("/abc123")).status == 410


async def _is_gone(redirector: Redirector) -> bool:
    return (await redirector.ask("/abc123")).status == 410


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("reason", ["time", "clicks"])
async def test_a_link_that_is_over_may_lead_elsewhere_and_counts_no_click(
    start: Start, links: Links, bus: Redis, method: str, reason: str
):
    await links.put("abc123", TARGET)
    ends = {"expires_at": datetime.now(UTC)} if reason == "time" else {"max_clicks": 1}
    await links.set("abc123", expired_url=OTHER, redirect_status=308, cache_seconds=60, **ends)
    async with start() as redirector:
        if reason == "clicks":
            assert (await redirector.ask("/abc123")).headers["location"] == TARGET
        answer = await redirector.ask("/abc123", method=method)

    assert answer.status == (303 if method == "POST" else 302)
    assert answer.headers["location"] == OTHER
    assert answer.headers["cache-control"] == "private, max-age=0"
    assert len(await clicks_on(bus)) == (reason == "clicks")


@pytest.mark.parametrize(
    "columns", [{"is_active": False}, {"starts_at": datetime(2999, 1, 1, tzinfo=UTC)}], ids=str
)
async def test_what_is_off_or_not_begun_leads_nowhere_whatever_comes_after(
    start: Start, links: Links, columns: dict[str, Any]
):
    await links.put("abc123", TARGET)
    await links.set("abc123", expired_url=OTHER, expires_at=datetime.now(UTC), **columns)
    async with start() as redirector:
        assert (await redirector.ask("/abc123")).status == 410


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(
    ("seconds", "kept"),
    [(None, {301: 90, 308: 90}), (0, {}), (600, dict.fromkeys(range(400), 600))],
)
async def test_status_and_cache_seconds_are_the_links_own(
    start: Start, links: Links, status: int, seconds: int | None, kept: dict[int, int]
):
    await links.put("abc123", TARGET)
    await links.set("abc123", redirect_status=status, cache_seconds=seconds)
    async with start() as redirector, links.beating():
        first = await redirector.ask("/abc123")
        await eventually(lambda: is_near(redirector, links))
        remembered = await redirector.ask("/abc123")

    for answer in (first, remembered):
        assert answer.status == status
        assert answer.headers["cache-control"] == f"private, max-age={kept.get(status, 0)}"
        assert answer.headers["location"] == TARGET


async def test_a_browser_keeps_no_redirect_beyond_the_links_end(start: Start, links: Links):
    await links.put("abc123", TARGET)
    end = datetime.now(UTC) + timedelta(seconds=30)
    await links.set("abc123", redirect_status=301, cache_seconds=3600, expires_at=end)
    async with start() as redirector:
        answer = await redirector.ask("/abc123")

    assert 25 <= int(answer.headers["cache-control"].rpartition("=")[2]) <= 30


async def test_of_many_visitors_at_once_only_so_many_pass(start: Start, links: Links, bus: Redis):
    await links.put("abc123", TARGET)
    await links.set("abc123", max_clicks=10)
    async with start() as first, start() as second:
        assert (await first.ask("/abc123", method="HEAD")).status == 302
        asked = [one.ask("/abc123") for _ in range(20) for one in (first, second)]
        answers = await asyncio.gather(*asked)
        late = await first.ask("/abc123")
        head = await first.ask("/abc123", method="HEAD")

    assert sorted(answer.status for answer in answers) == [302] * 10 + [410] * 30
    assert (late.status, head.status) == (410, 410)
    assert json.loads(late.body) == {"error": "URL has had all its clicks"}
    assert len(await clicks_on(bus)) == 10


async def test_visitors_of_a_viral_link_with_a_limit_are_not_refused(
    start: Start, links: Links, bus: Redis
):
    await links.put("abc123", TARGET)
    await links.set("abc123", max_clicks=1_000)
    request = b"GET /abc123 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    async def visit(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer.split()[1]

    async with start() as redirector:
        await redirector.ask("/abc123")
        await bus.client_pause(200)  # so that all of them wait at once
        statuses = await asyncio.gather(*(visit(redirector.port) for _ in range(60)))

    assert set(statuses) == {b"302"}


async def test_a_prefetch_takes_nothing_off_the_limit_but_keeps_to_it(
    start: Start, links: Links, bus: Redis
):
    await links.put("abc123", TARGET)
    await links.set("abc123", max_clicks=1)
    prefetch = {"Sec-Purpose": "prefetch"}
    async with start() as redirector:
        before = [(await redirector.ask("/abc123", headers=prefetch)).status for _ in range(3)]
        click = await redirector.ask("/abc123")
        after = await redirector.ask("/abc123", headers=prefetch)

    assert before == [302] * 3
    assert (click.status, after.status) == (302, 410)
    assert len(await clicks_on(bus)) == 1


async def test_a_lost_count_begins_with_what_is_stored(start: Start, links: Links, bus: Redis):
    record = await links.put("abc123", TARGET)
    await links.set("abc123", max_clicks=10)
    await links.pool.execute(
        "INSERT INTO clicks_hourly (url_id, hour, clicks) VALUES ($1, now(), 9)", record.url_id
    )
    async with start() as redirector:
        statuses = [(await redirector.ask("/abc123")).status for _ in range(3)]
        await bus.delete(f"taken:{record.url_id}")

    assert statuses == [302, 410, 410]


async def test_a_limit_is_kept_while_nobody_can_count(start: Start, links: Links):
    await links.put("abc123", TARGET)
    await links.set("abc123", max_clicks=10)
    async with start(bus_url="redis://127.0.0.1:1") as redirector:
        answer = await redirector.ask("/abc123")

    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"


@pytest.fixture
async def locked(links: Links) -> None:
    await links.put("abc123", TARGET)
    await links.set("abc123", password_hash=PasswordHasher().hash("open sesame"))


@pytest.mark.usefixtures("locked")
async def test_a_browser_is_asked_for_the_password(start: Start, bus: Redis):
    async with start() as redirector:
        asked = await redirector.ask("/abc123", {"Accept": "text/html"})
        wrong = await unlock(redirector, "sesame", Accept="text/html")
        right = await unlock(redirector, "open sesame", Accept="text/html")

    assert asked.status == 401
    assert b'type="password"' in asked.body
    assert b"This link needs a password" in asked.body
    assert TARGET.encode() not in asked.body
    assert asked.headers["cache-control"] == "no-store"
    assert (wrong.status, b"Wrong password" in wrong.body) == (401, True)
    assert (right.status, right.headers["location"]) == (303, TARGET)
    assert len(await clicks_on(bus)) == 1


BAD = (b"", b"[]", b"{}", b"{", b'{"password": "\xff"}', b'{"a":' + b"[" * 3999)


@pytest.mark.usefixtures("locked")
async def test_a_client_sends_the_password_as_json(start: Start):
    kind = {"Content-Type": "application/json"}
    async with start() as redirector:
        asked = await redirector.ask("/abc123")
        head = await redirector.ask("/abc123", method="HEAD")
        right = await post(redirector, "/abc123", b'{"password": "open sesame"}', kind)
        bad = [await post(redirector, "/abc123", body, kind) for body in BAD]
        huge = await post(redirector, "/abc123", b'{"password": "%b"}' % (b"x" * 9000), kind)

    assert (asked.status, json.loads(asked.body)) == (401, {"error": "This link needs a password"})
    assert head.status == 401
    assert (right.status, right.headers["location"]) == (303, TARGET)
    assert [answer.status for answer in bad] == [400] * len(BAD)
    assert huge.status == 413


@pytest.mark.usefixtures("locked")
async def test_who_guesses_has_to_wait(start: Start):
    async with start() as redirector:
        wrong = [await unlock(redirector, f"guess {number}") for number in range(10)]
        refused = await unlock(redirector, "open sesame")
        other = await unlock(redirector, "open sesame", **{"X-Forwarded-For": "203.0.113.7"})

    assert {answer.status for answer in wrong} == {401}
    assert (refused.status, refused.headers["retry-after"]) == (429, "60")
    assert other.status == 303, "others are not kept out"


async def test_a_post_is_passed_on_where_the_status_keeps_the_method(start: Start, links: Links):
    await links.put("abc123", TARGET)
    await links.put("plain1", TARGET)
    await links.set("abc123", redirect_status=307)
    async with start() as redirector:
        passed = await post(redirector, "/abc123", b"a=b", {})
        refused = await post(redirector, "/plain1", b"a=b", {})

    assert (passed.status, passed.headers["location"]) == (307, TARGET)
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("target", "query", "expected"),
    [
        ("https://example.com/a", "b=c", "https://example.com/a?b=c"),
        ("https://example.com/a?x=y#z", "b=%20c", "https://example.com/a?x=y&b=%20c#z"),
        ("https://example.com/a", "", "https://example.com/a"),
    ],
)
async def test_a_query_is_forwarded_where_the_link_says_so(
    start: Start, links: Links, target: str, query: str, expected: str
):
    await links.put("abc123", target)
    await links.put("plain1", target)
    await links.set("abc123", forward_query=True)
    async with start() as redirector:
        assert (await redirector.ask(f"/abc123?{query}")).headers["location"] == expected
        assert (await redirector.ask(f"/plain1?{query}")).headers["location"] == target


async def test_rules_choose_by_device_system_and_language(start: Start, links: Links):
    await links.put("abc123", TARGET)
    await rules(
        links,
        Rule(target=f"{OTHER}/ios", devices=("mobile",), systems=("ios",)),
        Rule(target=f"{OTHER}/de", languages=("de",)),
        Rule(target=f"{OTHER}/at", countries=("at",)),
    )
    async with start() as redirector:
        assert await location(redirector, PHONE) == f"{OTHER}/ios"
        assert (
            await location(redirector, {**LAPTOP, "Accept-Language": "de-AT,en"}) == f"{OTHER}/de"
        )
        assert await location(redirector, {**LAPTOP, "Accept-Language": "den"}) == TARGET
        assert await location(redirector, {}) == TARGET


async def test_a_share_of_visitors_is_sent_elsewhere_and_always_the_same(
    start: Start, links: Links
):
    await links.put("abc123", TARGET)
    await rules(links, Rule(target=OTHER, percent=50))
    visitors = [{"X-Forwarded-For": f"203.0.113.{number}"} for number in range(60)]
    async with start() as redirector:
        first = [await location(redirector, visitor) for visitor in visitors]
        again = [await location(redirector, visitor) for visitor in visitors]

    assert first == again
    assert 10 < first.count(OTHER) < 50


async def test_an_alias_leads_where_its_link_does(start: Start, links: Links, bus: Redis):
    record = await links.put("abc123", TARGET)
    await links.pool.execute(
        "INSERT INTO url_aliases (short_code, url_id) VALUES ('alias1', $1)", record.url_id
    )
    async with start() as redirector:
        answer = await redirector.ask("/alias1")

        clicks = await eventually(lambda: clicks_on(bus))

    assert answer.headers["location"] == TARGET
    assert (clicks[0].code, clicks[0].url_id) == ("alias1", record.url_id)


async def raw_clicks(bus: Redis) -> list[dict[str, Any]]:
    entries: Any = await bus.xrange("clicks")
    return [click for _, fields in entries for click in json.loads(fields[b"batch"])]


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({}, "203.0.113.0"),
        ({"ip_policy": "full"}, "203.0.113.9"),
        ({"ip_policy": "none"}, None),
        ({"honour_opt_out": True}, "203.0.113.0"),
        ({"trusted_proxies": "10.0.0.0/8"}, "127.0.0.0"),
    ],
)
async def test_a_click_says_of_its_visitor_what_the_operator_allows(
    start: Start, links: Links, bus: Redis, settings: dict[str, Any], shown: str | None
):
    await links.put("abc123", TARGET)
    visitor = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9", "Accept-Language": "de-AT,de;q=0.9"}
    async with start(**settings) as redirector:
        await redirector.ask("/abc123?src=qr", visitor)
        click = (await eventually(lambda: raw_clicks(bus)))[0]

    assert click.get("address") == shown
    assert (click["language"], click["source"]) == ("de-at", "qr")


@pytest.mark.parametrize("header", ["DNT", "Sec-GPC"])
async def test_of_who_opts_out_only_the_click_is_noted(
    start: Start, links: Links, bus: Redis, header: str
):
    await links.put("abc123", TARGET)
    visitor = {**PHONE, "Referer": OTHER, "Accept-Language": "de", header: "1"}
    async with start(honour_opt_out=True) as redirector:
        await redirector.ask("/abc123", visitor)
        click = (await eventually(lambda: raw_clicks(bus)))[0]

    assert set(click) == {"id", "at", "code", "url_id", "user_id", "request_id"}
