"""Each case through the short cut and through ASGI: the same bytes, and the same click."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from redirector.click_recorder import ClickRecorder
from redirector.hot_path import HotPath
from redirector.protocol import MAX_HEAD_BYTES
from shared.serve import CLOSE
from tests import otlp_receiver
from tests.integration.redirector.conftest import Links, Redirector, Start
from tests.integration.redirector.test_freshness import is_near
from tests.waiting import eventually

OLD = "https://example.com/old?a=1#b"
NEW = "https://example.com/new"
ANSWER_SECONDS = 5.0
QUIET_SECONDS = 0.05  # after the last answer: nothing more may come

BROWSER = (
    b'Host: sho.rt\r\nUser-Agent: Mozilla/5.0 (X11) \xe9 "quoted"\r\n'
    b"Accept: text/html,*/*;q=0.8\r\n"
    b"Accept-Language: de-AT,de;q=0.9\r\nReferer: https://news.example.com/item?id=1\r\n"
)
BEHIND = (
    b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nReferer: https://a.example/\r\n"
)
PREFETCH = b"Sec-Purpose: prefetch;prerender\r\n"
NOW = b"(now)"  # stands for the time at which the case is tried


class Case(msgspec.Struct, frozen=True):
    """What is sent, piece by piece, and whether the short cut is to take it."""

    pieces: Sequence[bytes]
    is_taken: bool
    answers: int = 1
    half_close: bool = False


def get(target: bytes, fields: bytes = BROWSER, method: bytes = b"GET") -> bytes:
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, fields)


def from_gateway(request_id: bytes, started: bytes = NOW, behind: bytes = BEHIND) -> bytes:
    own = b"X-Request-ID: %b\r\nX-Request-Start: %b\r\n" % (request_id, started)
    return get(b"/abc123", b"Host: x\r\n" + own + behind)


PLAIN = get(b"/abc123")
CASES = {
    "get": Case([PLAIN], True),
    "head": Case([get(b"/abc123", method=b"HEAD")], True),
    "query": Case([get(b"/abc123?utm_source=x&a=%20b")], True),
    "trailing slash": Case([get(b"/abc123/")], True),
    "long path": Case([get(b"/urls/abc123/redirect")], True),
    "long path with slash and query": Case([get(b"/urls/abc123/redirect/?x")], True),
    "no headers at all": Case([get(b"/abc123", b"")], True),
    "empty body announced": Case([get(b"/abc123", BROWSER + b"Content-Length: 0\r\n")], True),
    "kept alive": Case([PLAIN, PLAIN, get(b"/urls/abc123/redirect")], True, answers=3),
    "other headers on the same line": Case([PLAIN, get(b"/abc123", b"Host: x\r\n")], True, 2),
    "request id": Case([get(b"/abc123", BROWSER + b"X-Request-ID: mine-\"1\"\r\n")], True),
    "request id twice": Case([get(b"/abc123", b"x-request-id: a\r\nX-Request-Id: b\r\n")], True),
    "insane request id": Case([get(b"/abc123", b"X-Request-ID: a b\r\n")], True),
    "empty request id": Case([get(b"/abc123", b"X-Request-ID:\r\n")], True),
    "start of the request": Case(
        [get(b"/abc123", b"X-Request-ID: r\r\nX-Request-Start: %b\r\n" % NOW)], True
    ),
    "ids and starts of the gateway": Case(
        [from_gateway(b"r"), from_gateway(b"s"), from_gateway(b"s", b"1.5"), from_gateway(b"s")],
        True,
        answers=4,
    ),
    "the gateway's, then a client's own": Case(
        [
            from_gateway(b"r"),
            get(b"/abc123", BEHIND),
            from_gateway(b"s"),
            from_gateway(b"t", NOW, b""),
        ],
        True,
        answers=4,
    ),
    "odd case and blanks": Case(
        [get(b"/abc123", b"USER-AGENT:\t  spaced \t\r\nreferer:https://a.example/b/c\r\n")], True
    ),
    "long user agent": Case([get(b"/abc123", b"User-Agent: %b\r\n" % (b"\xfc" * 2000))], True),
    "a header that only looks like another": Case(
        [get(b"/abc123", b"X-Note: referer: https://evil.example\r\n")], True
    ),
    "expect": Case([get(b"/abc123", BROWSER + b"Expect: 100-continue\r\n")], True),
    "prefetch": Case([get(b"/abc123", BROWSER + PREFETCH)], False),
    "prefetches among visits": Case(
        [PLAIN, get(b"/abc123", BROWSER + PREFETCH), PLAIN, get(b"/abc123", BROWSER + PREFETCH)],
        False,
        answers=4,
    ),
    "the gateway's prefetches among visits": Case(
        [
            from_gateway(b"r"),
            from_gateway(b"s", NOW, BEHIND + PREFETCH),
            from_gateway(b"t", NOW, BEHIND + PREFETCH),
            from_gateway(b"u"),
        ],
        False,
        answers=4,
    ),
    "another purpose": Case([get(b"/abc123", b"Purpose: preview\r\nX-Moz: x\r\n")], True),
    "percent-encoded": Case([get(b"/%61bc123")], False),
    "percent-encoded slash": Case([get(b"/abc123%2f")], False),
    "two slashes": Case([get(b"//abc123")], False),
    "dots": Case([get(b"/x/../abc123")], False),
    "absolute target": Case([get(b"http://sho.rt/abc123")], False),
    "deeper": Case([get(b"/abc123/more")], False),
    "unknown": Case([get(b"/nothing")], False),
    "inactive": Case([get(b"/paused")], False),
    "deleted": Case([get(b"/trashed")], False),
    "begun": Case([get(b"/begun")], True),
    "not begun": Case([get(b"/later")], False),
    "health": Case([get(b"/health")], False),
    "pipelined": Case([PLAIN + get(b"/urls/abc123/redirect") + PLAIN], False, answers=3),
    "connection close": Case([get(b"/abc123", BROWSER + b"Connection: close\r\n")], False),
    "http 1.0": Case([b"GET /abc123 HTTP/1.0\r\n\r\n"], False),
    "http 1.0 kept alive": Case([b"GET /abc123 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"], False),
    "no http": Case([b"GET /abc123\r\n\r\n"], False),
    "nonsense": Case([b"\x16\x03\x01\x02\x00\r\n\r\n"], False),
    "post": Case([get(b"/abc123", BROWSER + b"Content-Length: 0\r\n", b"POST")], False),
    "delete": Case([get(b"/abc123", method=b"DELETE")], False),
    "unknown method": Case([get(b"/abc123", method=b"BREW")], False),
    "lower case method": Case([get(b"/abc123", method=b"get")], False),
    "body": Case([get(b"/abc123", b"Content-Length: 5\r\n") + b"hello"], False),
    "body that looks like an end": Case(
        [get(b"/abc123", b"Content-Length: 4\r\n") + b"\r\n\r\n"], False
    ),
    "chunked body": Case(
        [get(b"/abc123", b"Transfer-Encoding: chunked\r\n") + b"2\r\nhi\r\n0\r\n\r\n"], False
    ),
    "length and chunks": Case(
        [get(b"/abc123", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n"],
        False,
    ),
    "two lengths": Case(
        [get(b"/abc123", b"Content-Length: 0\r\nContent-Length: 5\r\n") + b"hello"], False
    ),
    "folded header": Case([get(b"/abc123", b"X-A: b\r\n c\r\n")], False),
    "header without a name": Case([get(b"/abc123", b": x\r\n")], False),
    "header with a blank before its colon": Case([get(b"/abc123", b"User-Agent : x\r\n")], False),
    "header with a NUL": Case([get(b"/abc123", b"User-Agent: a\x00b\r\n")], False),
    "bare line feeds": Case([b"GET /abc123 HTTP/1.1\nHost: x\n\n"], False),
    "bare carriage return": Case(
        [get(b"/abc123", b"X-A: b\rReferer: https://c.example\r\n")], False
    ),
    "blank in the query": Case([get(b"/abc123?a b")], False),
    "high byte in the query": Case([get(b"/abc123?\xff")], False),
    "upgrade": Case(
        [get(b"/abc123", BROWSER + b"Connection: Upgrade\r\nUpgrade: websocket\r\n")], False
    ),
    "oversized address": Case([get(b"/abc123?" + b"x" * MAX_HEAD_BYTES)], False),
    "oversized address behind a known head": Case(
        [PLAIN, get(b"/abc123?" + b"x" * MAX_HEAD_BYTES)], False, answers=2
    ),
    "oversized headers": Case(
        [get(b"/abc123", b"X-Big: %b\r\n" % (b"x" * MAX_HEAD_BYTES))], False
    ),
    "headers without end": Case(
        [b"GET /abc123 HTTP/1.1\r\n", *(4 * [b"X-A: " + 9000 * b"x"])], False
    ),
    "byte by byte": Case([PLAIN[i : i + 1] for i in range(len(PLAIN))], False),
    "in two pieces": Case([PLAIN[:30], PLAIN[30:]], False),
    "half a request before": Case([PLAIN + PLAIN[:20], PLAIN[20:]], False, answers=2),
    "half-closed": Case([PLAIN], True, half_close=True),
}  # fmt: skip

MIXED = {
    "half a request before",
    "oversized address behind a known head",
    "prefetches among visits",
    "the gateway's prefetches among visits",
}  # taken in part


class Seen(msgspec.Struct):
    """What one way answered and recorded, its clock and its new ids left out."""

    answer: bytes
    clicks: list[bytes]
    taken: int


@pytest.fixture
async def warm(start: Start, links: Links) -> AsyncIterator[Redirector]:
    await links.put("abc123", OLD)
    await links.put("paused", active=False)
    await links.put("trashed")
    await links.pool.execute("UPDATE urls SET deleted_at = now() WHERE short_code = 'trashed'")
    for code, begins in {"begun": 2001, "later": 2999}.items():
        await links.put(code, OLD)
        await links.set(code, starts_at=datetime(begins, 1, 1, tzinfo=UTC))
    async with start() as redirector, links.beating():
        await eventually(lambda: is_near(redirector, links))
        for code in ("begun", "later"):
            await redirector.ask(f"/{code}")
        yield redirector


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Notes what is recorded, and how much of it the short cut took."""
    noted = Seen(b"", [], 0)
    record, take = ClickRecorder.record, HotPath.take

    def note_clicks(self: ClickRecorder, clicks: Sequence[bytes]) -> None:
        noted.clicks += clicks
        record(self, clicks)

    def note_taken(self: HotPath, *arguments: Any, **named: Any) -> bool:
        taken = take(self, *arguments, **named)
        noted.taken += taken
        return taken

    monkeypatch.setattr(ClickRecorder, "record", note_clicks)
    monkeypatch.setattr(HotPath, "take", note_taken)
    return noted


async def converse(port: int, case: Case) -> bytes:
    """Send the pieces and return all that comes back until it is quiet or closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        for piece in case.pieces:
            writer.write(piece)
            await writer.drain()
            if len(case.pieces) > 1:
                answer += await read_some(reader, 0.01 if len(piece) > 1 else 0.0001)
        if case.half_close:
            writer.write_eof()
        async with asyncio.timeout(ANSWER_SECONDS):
            while answer.count(b"HTTP/1.1 ") < case.answers:
                if not (more := await reader.read(65536)):
                    break
                answer += more
        answer += await read_some(reader, QUIET_SECONDS)
        if reader.at_eof() and not case.half_close:
            answer += b"(closed)"
    except ConnectionError:
        answer += b"(reset)"
    finally:
        writer.close()
    return answer


async def read_some(reader: asyncio.StreamReader, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await reader.read(65536)
    except TimeoutError:
        return b""


def without_chance(text: bytes) -> bytes:
    """Leave out what may differ: the date, ids that were made, and times of their making."""
    text = re.sub(rb"date: [^\r]+", b"date", text)
    text = re.sub(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-0[13]", b"TRACE", text)
    text = re.sub(rb"[0-9a-f]{32}", b"NEW-ID", text)
    if b'"request_id":"r"' not in text:  # its id and time come from the request
        text = re.sub(rb'"id":"[0-9a-f-]{36}","at":"[0-9T:.Z-]+"', b"IDENTITY", text)
    return text


async def look(port: int, case: Case, seen: Seen) -> Seen:
    seen.clicks.clear()
    seen.taken = 0
    answer = await converse(port, case)
    return Seen(without_chance(answer), [without_chance(c) for c in seen.clicks], seen.taken)


async def both_ways(
    port: int, case: Case, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> tuple[Seen, Seen]:
    now = f"{time.time():.3f}".encode()
    case = msgspec.structs.replace(case, pieces=[piece.replace(NOW, now) for piece in case.pieces])
    short = await look(port, case, seen)
    with monkeypatch.context() as patch:
        patch.setattr(HotPath, "take", lambda *_arguments, **_named: False)
        return short, await look(port, case, seen)


@pytest.mark.parametrize("name", CASES)
async def test_both_ways_answer_and_record_the_same(
    warm: Redirector, seen: Seen, monkeypatch: pytest.MonkeyPatch, name: str
):
    case = CASES[name]

    short, asgi = await both_ways(warm.port, case, seen, monkeypatch)

    assert short.answer
    assert (short.answer, short.clicks) == (asgi.answer, asgi.clicks)
    assert short.taken == (len(case.pieces) if case.is_taken else 0) or name in MIXED


@pytest.mark.parametrize(
    "field",
    [
        b"Sec-Purpose: prefetch",
        b"sec-purpose: Prefetch ; prerender",
        b"Purpose: prefetch",
        b"X-Moz: prefetch",
    ],
)
async def test_a_prefetch_is_answered_and_no_click_on_both_ways(
    warm: Redirector, seen: Seen, monkeypatch: pytest.MonkeyPatch, field: bytes
):
    prefetch = get(b"/abc123", BROWSER + field + b"\r\n")
    case = Case([PLAIN, prefetch, PLAIN], is_taken=False, answers=3)

    for way in await both_ways(warm.port, case, seen, monkeypatch):
        assert way.answer.count(b"HTTP/1.1 302") == 3
        assert way.answer.count(b"location: " + OLD.encode()) == 3
        assert len(way.clicks) == 2


async def test_both_ways_see_a_change_at_once(
    warm: Redirector, links: Links, seen: Seen, monkeypatch: pytest.MonkeyPatch
):
    await links.change("abc123", NEW)
    await asyncio.sleep(0.2)

    short, asgi = await both_ways(warm.port, CASES["get"], seen, monkeypatch)

    assert b"location: " + NEW.encode() in short.answer
    assert (short.answer, short.clicks, short.taken) == (asgi.answer, asgi.clicks, 1)


async def test_both_ways_see_a_takedown_at_once(
    warm: Redirector, links: Links, seen: Seen, monkeypatch: pytest.MonkeyPatch
):
    await links.change("abc123", OLD, active=False)
    await asyncio.sleep(0.2)

    short, asgi = await both_ways(warm.port, CASES["get"], seen, monkeypatch)

    assert short.answer.startswith(b"HTTP/1.1 410")
    assert short.answer == asgi.answer
    assert not short.clicks


async def test_a_client_that_is_slow_with_its_head_is_told_so(
    warm: Redirector, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("redirector.protocol.HEAD_SECONDS", 0.2)

    answer = await converse(warm.port, Case([PLAIN[:30]], is_taken=False))

    assert answer.startswith(b"HTTP/1.1 408")
    assert answer.endswith(b"(closed)")


async def test_an_idle_connection_is_closed_but_not_one_in_use(start: Start, links: Links):
    await links.put("abc123", OLD)
    async with start(keep_alive_seconds=1) as redirector, links.beating():
        await eventually(lambda: is_near(redirector, links))
        reader, writer = await asyncio.open_connection("127.0.0.1", redirector.port)
        for _ in range(4):
            writer.write(PLAIN)
            await asyncio.sleep(0.4)
        assert (await reader.read(65536)).count(b"HTTP/1.1 302") == 4

        async with asyncio.timeout(5):
            assert await reader.read(1) == b""
        writer.close()


async def test_a_server_that_leaves_closes_after_its_answer(warm: Redirector, seen: Seen):
    reader, writer = await asyncio.open_connection("127.0.0.1", warm.port)
    writer.write(PLAIN)
    assert (await reader.read(65536)).startswith(b"HTTP/1.1 302")
    assert seen.taken == 1
    warm.server.server_state.default_headers.append(CLOSE)

    writer.write(PLAIN)
    answer = await reader.read()  # to the end

    assert b"\r\nconnection: close\r\n" in answer
    assert seen.taken == 1
    writer.close()


async def test_both_ways_trace_the_same(
    start: Start, links: Links, seen: Seen, monkeypatch: pytest.MonkeyPatch
):
    await links.put("abc123", OLD)
    trace_id, parent_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    fields = f"traceparent: 00-{trace_id}-{parent_id}-01\r\nX-Request-ID: r\r\n".encode()
    with otlp_receiver.running() as (receiver, endpoint):
        async with (
            start(otel_exporter_otlp_endpoint=endpoint, trace_sample_ratio=0.0) as redirector,
            links.beating(),
        ):
            await eventually(lambda: is_near(redirector, links))
            case = Case([get(b"/abc123?a=1", BROWSER + fields)], is_taken=True)

            short, asgi = await both_ways(redirector.port, case, seen, monkeypatch)

    assert (short.answer, short.taken) == (asgi.answer, 1)
    assert [re.sub(rb'"id":[^}]+?,"code"', b"", click) for click in short.clicks] == [
        re.sub(rb'"id":[^}]+?,"code"', b"", click) for click in asgi.clicks
    ]
    assert b'"traceparent":"TRACE"' in short.clicks[0]
    one, other = receiver.named("GET /{code}")
    assert one.span_id != other.span_id
    assert (one.trace_id, one.parent_id, one.kind) == (trace_id, parent_id, "server")
    assert msgspec.structs.replace(one, span_id="") == msgspec.structs.replace(other, span_id="")
