"""Redirects answered before ASGI: what this worker remembers, to whoever asks for it plainly.

All requests that arrive in one turn of the event loop share the turn's time, one look at whether
the near cache can be trusted, and one write to the journal. The journal comes first: whatever
kills this process then, no visitor was answered without a record.
"""

import asyncio
import re
import time
from typing import TYPE_CHECKING

import msgspec

from redirector import metrics
from redirector.answers import STATUS_LINES, ReadyAnswer
from redirector.click_encoder import quoted, source_members, trace_member
from redirector.click_recorder import ClickRecorder
from redirector.request_headers import Headers
from redirector.resolver import Resolver
from redirector.visitors import Visitors
from shared.http import is_request_id, new_request_id
from shared.observation import answer_attributes, line_facts, request_attributes
from shared.request_log import RequestLog, milliseconds, shown
from shared.serve import CLOSE
from shared.telemetry import Tracing

if TYPE_CHECKING:
    from shared.spans import Span

# Behind the first slash; a plain code needs no look at this.
_TARGET = re.compile(rb"(?:urls/([\w-]{1,64})/redirect|([\w-]{1,64}))/?(?:\?([!-~]*))?\Z")

OK = 302  # stands for every status of a redirect

DefaultHeaders = list[tuple[bytes, bytes]]


class RequestFacts(msgspec.Struct, frozen=True, gc=False):
    """What is noted of a request: `visitor` is as `Visitors.members` returns it.

    `request_id` is the client's where it is sane, and `quoted_id` that in JSON; else both empty.
    """

    request_id: bytes
    quoted_id: bytes
    started: bytes | None
    visitor: bytes
    traceparent: bytes | None
    trace_id: str = ""  # of the span that was begun for the request


# Where to, what, to whom, the path asked for, its query if any, and whether it is a click (a HEAD
# is none).
_Taken = tuple[asyncio.Transport, ReadyAnswer, RequestFacts, bytes, bytes, bool]


class HotPath:
    """The answers of one turn, for all connections of this worker."""

    def __init__(
        self,
        resolver: Resolver,
        clicks: ClickRecorder,
        visitors: Visitors,
        tracing: Tracing,
        request_log: RequestLog,
    ) -> None:
        self.visitors = visitors
        self._log = request_log
        self._tracing = tracing if tracing.is_on else None
        self._spans: list[Span] = []
        self._resolver = resolver
        self._clicks = clicks
        self._encoder = clicks.encoder
        self._loop = asyncio.get_running_loop()
        self._began = 0.0
        self._now = 0.0
        self._is_open = False
        self._default_headers: DefaultHeaders = []
        self._starts: dict[int, bytes] = {}
        self._taken: list[_Taken] = []

    def facts(self, headers: Headers, peer: str, *, is_trusted: bool) -> RequestFacts:
        """Return what is to be noted of requests with these headers from `peer`."""
        address = self.visitors.address(peer, headers, is_trusted=is_trusted)
        return request_facts(
            headers.get(b"x-request-id"),
            headers.get(b"x-request-start"),
            self.visitors.members(headers, address),
            headers.get(b"traceparent"),
        )

    def take(
        self,
        transport: asyncio.Transport,
        path: bytes,
        facts: RequestFacts,
        default_headers: DefaultHeaders,
        *,
        is_click: bool,
    ) -> bool:
        """Answer at the end of this turn and return True, or return False and do nothing.

        `path` is the request's target without its first slash.
        """
        if not self._taken:
            self._begin(default_headers)
        if not self._is_open:
            return False
        query = b""
        answer = self._resolver.ready_answer(path.decode("latin-1"), self._now)
        if answer is None:
            match = _TARGET.match(path)
            if match is None:
                return False
            query = match[3] or b""
            answer = self._resolver.ready_answer((match[2] or match[1]).decode(), self._now)
            if answer is None:
                return False
        if not self._taken:
            self._loop.call_soon(self.flush)
        if self._tracing is not None and self._tracing.admits(facts.traceparent):
            facts = self._traced(_method(is_click=is_click), path, facts, answer.status)
        self._taken.append((transport, answer, facts, path, query, is_click))
        return True

    def _traced(self, method: str, path: bytes, facts: RequestFacts, status: int) -> RequestFacts:
        """Begin the span of a request, and return its facts with what its click tells of it."""
        assert self._tracing is not None
        request_id = facts.request_id or new_request_id()
        span = self._tracing.begin(
            f"{method} {metrics.REDIRECT_ROUTE}",
            "server",
            {
                **request_attributes(method, _shown(path), request_id.decode()),
                **answer_attributes(metrics.REDIRECT_ROUTE, status, "near"),
            },
            parent=facts.traceparent,
        )
        if span is None:
            return facts
        self._spans.append(span)
        return RequestFacts(
            request_id,
            quoted(request_id),
            facts.started,
            facts.visitor + trace_member(span.traceparent),
            facts.traceparent,
            span.trace_id,
        )

    def flush(self) -> None:
        """Record the clicks of this turn, then write its answers."""
        taken, self._taken = self._taken, []
        payloads: list[bytes] = []
        answers: list[tuple[asyncio.Transport, bytes]] = []
        times: dict[int, int] = {}
        request_id = b""
        for transport, answer, facts, _, query, is_click in taken:
            request_id = facts.request_id or new_request_id()
            if is_click:
                payloads.append(self._encode(answer.click, facts, query, request_id))
            status = answer.status
            times[status] = times.get(status, 0) + 1
            start = self._starts[status]
            response = b"%b%bx-request-id: %b\r\n\r\n" % (start, answer.fields, request_id)
            answers.append((transport, response))
        began = time.perf_counter()
        if payloads:
            self._clicks.record(payloads)
        recorded = time.perf_counter()
        for transport, response in answers:
            if not transport.is_closing():
                transport.write(response)
        seconds = time.perf_counter() - self._began
        self._count(times, seconds)
        level = self._log.level(OK, seconds, len(taken))
        if level is not None and taken:
            self._write_line(level, taken[-1], request_id, seconds, recorded - began)

    def _count(self, times: dict[int, int], seconds: float) -> None:
        """Note how often each status was answered, and end the spans."""
        metrics.answered_at_once(times, seconds)
        spans, self._spans = self._spans, []
        for span in spans:
            span.end()

    def _write_line(
        self, level: int, last: _Taken, request_id: bytes, seconds: float, journal_seconds: float
    ) -> None:
        """Write the line of the last request of this turn: it stands for all that took so long."""
        _, answer, request, path, _, is_click = last
        method = _method(is_click=is_click)
        facts = {
            "request_id": request_id.decode(),
            **line_facts(method, metrics.REDIRECT_ROUTE, _shown(path), answer.status),
            "source": "near",
            "duration_ms": milliseconds(seconds),
            "timings": {"journal": milliseconds(journal_seconds)},
        }
        if request.trace_id:
            facts["trace_id"] = request.trace_id
        self._log.write(level, "request", facts)

    def _encode(self, link: bytes, facts: RequestFacts, query: bytes, request_id: bytes) -> bytes:
        visitor = facts.visitor + source_members(query) if query else facts.visitor
        if facts.started is None and not facts.request_id:
            return self._encoder.encode_new(link, visitor, request_id, self._now)
        quoted_id = facts.quoted_id or quoted(request_id)
        return self._encoder.encode(link, visitor, request_id, quoted_id, facts.started)

    def _begin(self, default_headers: DefaultHeaders) -> None:
        """Look once at what is the same for all requests of a turn."""
        self._began = time.perf_counter()
        self._now = time.time()
        # After an answer that ends its connection uvicorn closes it.
        self._is_open = self._resolver.is_fresh() and CLOSE not in default_headers
        if default_headers is not self._default_headers:  # uvicorn makes them anew each second
            self._default_headers = default_headers
            lines = b"".join(b"%b: %b\r\n" % pair for pair in default_headers)
            self._starts = {status: line + lines for status, line in STATUS_LINES.items()}


def request_facts(
    request_id: bytes | None, started: bytes | None, visitor: bytes, traceparent: bytes | None
) -> RequestFacts:
    """Return the facts of a request, its id left out where it is none or not sane."""
    if request_id is None or not is_request_id(request_id):
        return RequestFacts(b"", b"", started, visitor, traceparent)
    return RequestFacts(request_id, quoted(request_id), started, visitor, traceparent)


def _method(*, is_click: bool) -> str:
    return "GET" if is_click else "HEAD"


def _shown(path: bytes) -> str:
    return shown(b"/" + path.partition(b"?")[0])
