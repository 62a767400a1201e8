"""Traces of the running system, as a real OTLP receiver gets them."""

import json
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from shortwire.servers import free_port
from tests import otlp_receiver
from tests.end_to_end.launcher import Launcher, eventually, send
from tests.otlp_receiver import ReceivedSpan, Receiver

PAGE = "https://example.com/page?secret=1"
QUICK_SECONDS = 10.0  # within which a system must stop whose receiver is away
REQUEST_ID = "shortwire.request_id"


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Launcher, Receiver]]:
    """A system of its own that traces what callers trace, and nothing else."""
    with otlp_receiver.running() as (receiver, endpoint):
        launcher = Launcher(
            tmp_path_factory.mktemp("traced") / "data",
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            TRACE_SAMPLE_RATIO="0",
            REDIRECTORS="2",
            API_RATE="10000",
        )
        try:
            launcher.wait_ready()
            user = {"username": "traced", "email": "traced@example.com"}
            assert send(launcher.url("/users"), "POST", user).status == 201
            for redirector in launcher.stack().redirectors:
                eventually(partial(is_warm, redirector.url))
            yield launcher, receiver
        finally:
            launcher.end(signal.SIGTERM)


def is_warm(url: str) -> bool:
    """Tell whether a redirector has its connections; the first calls may take too long."""
    return [send(f"{url}/nothing{n}").status for n in range(3)] == [404, 404, 404]


class Caller:
    """A client that traces its request, or says that it does not."""

    def __init__(self, *, sampled: bool = True) -> None:
        self.trace_id = secrets.token_hex(16)
        self.span_id = secrets.token_hex(8)
        self.request_id = secrets.token_hex(8)
        flags = "01" if sampled else "00"
        self.headers = {
            "traceparent": f"00-{self.trace_id}-{self.span_id}-{flags}",
            "X-Request-ID": self.request_id,
        }


def found(find: Callable[[], list[ReceivedSpan]]) -> ReceivedSpan:
    """The one span that is looked for, once it is there."""
    eventually(lambda: bool(find()))
    (span,) = find()
    return span


def link(system: Launcher, code: str) -> int:
    body = {"user_id": 1, "original_url": PAGE, "short_code": code}
    answer = send(system.url("/urls"), "POST", body)
    assert answer.status == 201
    return int(answer.json()["id"])


def server_span(receiver: Receiver, name: str, caller: Caller) -> ReceivedSpan:
    return found(
        lambda: [s for s in receiver.named(name) if s.attributes[REQUEST_ID] == caller.request_id]
    )


def follow(system: Launcher, receiver: Receiver, code: str) -> tuple[Caller, ReceivedSpan]:
    caller = Caller()
    assert send(system.url(f"/{code}?token=1"), headers=caller.headers).status == 302
    return caller, server_span(receiver, "GET /{code}", caller)


@pytest.mark.parametrize("way", ["first", "near"])
def test_a_redirect_is_traced_from_its_caller_to_the_row(
    traced: tuple[Launcher, Receiver], way: str
):
    system, receiver = traced
    code = f"way-{way}"
    link(system, code)
    caller, server = follow(system, receiver, code)
    for _ in range(20):
        if way == "first" or server.attributes["shortwire.source"] == "near":
            break
        caller, server = follow(system, receiver, code)

    assert (server.service, server.kind) == ("shortwire-redirector", "server")
    assert (server.trace_id, server.parent_id) == (caller.trace_id, caller.span_id)
    assert server.attributes == {
        "http.request.method": "GET",
        "http.route": "/{code}",
        "http.response.status_code": 302,
        "url.scheme": "http",
        "url.path": f"/{code}",
        "shortwire.source": "near" if way == "near" else "database",
        "shortwire.request_id": caller.request_id,
    }
    if way == "first":
        eventually(lambda: "journal" in receiver.children(server))
        below = receiver.children(server)
        assert {"cache_get", "cache_lease", "db_read", "cache_set", "journal"} <= set(below)
        assert below["db_read"].attributes == {"db.system.name": "postgresql"}
        assert below["db_read"].kind == "client"

    origin = (server.trace_id, server.span_id)
    sending = found(lambda: [s for s in receiver.named("send clicks") if origin in s.links])
    assert (sending.kind, sending.parent_id) == ("producer", "")
    assert sending.attributes["messaging.system"] == "redis_streams"
    assert sending.attributes["messaging.destination.name"] == "clicks"
    assert sending.attributes["messaging.operation.type"] == "send"

    batch = found(lambda: [s for s in receiver.named("process clicks") if origin in s.links])
    assert (batch.service, batch.kind) == ("shortwire-event-ingest", "consumer")
    assert batch.attributes["messaging.consumer.group.name"] == "ingest"
    assert batch.attributes["messaging.batch.message_count"] >= 1
    eventually(lambda: {"insert events", "settle clicks"} <= set(receiver.children(batch)))
    assert receiver.children(batch)["insert events"].attributes["db.collection.name"] == "events"


def test_a_change_is_traced_from_its_caller_to_every_redirector(traced: tuple[Launcher, Receiver]):
    system, receiver = traced
    url_id = link(system, "changed")
    caller = Caller()

    changed = send(system.url(f"/urls/{url_id}"), "PUT", {"is_active": False}, caller.headers)

    assert changed.status == 200
    server = server_span(receiver, "PUT /urls/{url_id}", caller)
    assert (server.service, server.kind) == ("shortwire-management", "server")
    assert (server.trace_id, server.parent_id) == (caller.trace_id, caller.span_id)
    assert server.attributes["http.response.status_code"] == 200
    eventually(lambda: {"db_write", "cache_set", "send links"} <= set(receiver.children(server)))
    sending = receiver.children(server)["send links"]
    assert sending.kind == "producer"
    assert sending.attributes["messaging.destination.name"] == "links"

    relay = found(lambda: [s for s in receiver.named("relay") if s.trace_id == caller.trace_id])
    assert relay.parent_id == server.span_id
    eventually(lambda: {"cache_set", "send links"} <= set(receiver.children(relay)))

    # The request's own announcement and the relay's, each at two redirectors.
    def taken() -> list[ReceivedSpan]:
        return [s for s in receiver.named("process links") if s.trace_id == caller.trace_id]

    eventually(lambda: len(taken()) == 4)
    assert {s.kind for s in taken()} == {"consumer"}
    assert {s.parent_id for s in taken()} == {server.span_id}


def test_a_failure_is_marked(traced: tuple[Launcher, Receiver]):
    system, receiver = traced
    caller = Caller()

    assert send(system.url("/urls/999999"), headers=caller.headers).status == 404

    span = server_span(receiver, "GET /urls/{url_id}", caller)
    assert span.attributes["http.response.status_code"] == 404
    assert not span.is_failed


def test_what_its_caller_does_not_trace_is_not_traced(traced: tuple[Launcher, Receiver]):
    system, receiver = traced
    link(system, "silent")
    silent, last = Caller(sampled=False), Caller()
    odd = {"traceparent": "00-nonsense-01", "X-Request-ID": "odd-one"}

    for _ in range(3):
        assert send(system.url("/silent"), headers=silent.headers).status == 302
        assert send(system.url("/silent"), headers=odd).status == 302
        assert send(system.url("/silent")).status == 302
    send(system.url("/silent"), headers=last.headers)

    server_span(receiver, "GET /{code}", last)
    ids = {span.attributes.get(REQUEST_ID) for span in receiver.spans}
    assert not ids & {silent.request_id, "odd-one"}
    assert silent.trace_id not in {span.trace_id for span in receiver.spans}


def test_a_receiver_that_is_away_hinders_nothing(tmp_path_factory: pytest.TempPathFactory):
    launcher = Launcher(
        tmp_path_factory.mktemp("away") / "data",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}",
        TRACE_SAMPLE_RATIO="1",
    ).wait_ready()
    try:
        user = {"username": "away", "email": "away@example.com"}
        assert send(launcher.url("/users"), "POST", user).status == 201
        link(launcher, "away")
        assert all(send(launcher.url("/away")).status == 302 for _ in range(20))
        metrics = launcher.parts()["redirector"].metrics
        assert metrics is not None

        def are_given_up() -> bool:
            failed = b"shortwire_trace_spans_failed_total 0.0\n"
            return failed not in send(metrics).body

        eventually(are_given_up)
        logs = (launcher.data / "logs" / "redirector-1.log").read_text()
        assert logs.count("traces.not_taken") == 1
        assert all(json.loads(line) for line in logs.splitlines())
    finally:
        began = time.monotonic()
        assert launcher.end(signal.SIGTERM) == 0
    assert time.monotonic() - began < QUICK_SECONDS
