"""Redirects answered before ASGI: what this worker remembers, to whoever asks for it plainly.

All requests that arrive in one turn of the event loop share one write to the journal. The
journal comes first: whatever kills this process then, no visitor was answered without a record.
"""

import asyncio
import re
import time
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from redirector import metrics
from redirector.answers import STATUS_LINES
from redirector.click_encoder import source_members, trace_member
from redirector.click_recorder import ClickRecorder
from redirector.request_headers import Headers
from redirector.resolver import Resolver
from redirector.visitors import Visitors
from shared.http import request_id_of
from shared.observation import answer_attributes, line_facts, request_attributes
from shared.request_log import RequestLog, milliseconds, shown
from shared.serve import CLOSE
from shared.telemetry import Tracing

if TYPE_CHECKING:
    from shared.spans import Span

_TARGET = re.compile(rb"/(?:urls/([\w-]{1,64})/redirect|([\w-]{1,64}))/?(?:\?([!-~]*))?\Z")

OK = 302  # stands for every status of a redirect

DefaultHeaders = list[tuple[bytes, bytes]]


class RequestFacts(msgspec.Struct, frozen=True, gc=False):
    """What is noted of a request; `visitor` is as `Visitors.members` returns it."""

    request_id: bytes | None
    started: bytes | None
    visitor: bytes
    traceparent: bytes | None


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
        self._loop = asyncio.get_running_loop()
        self._began = 0.0
        self._default_headers: DefaultHeaders = []
        self._answers: list[tuple[asyncio.Transport, int, bytes]] = []
        self._payloads: list[bytes] = []
        self._last: tuple[bool, bytes, bytes, int, Span | None] = (True, b"", b"", OK, None)

    def facts(self, headers: Headers, peer: str, *, is_trusted: bool) -> RequestFacts:
        """Return what is to be noted of requests with these headers from `peer`."""
        address = self.visitors.address(peer, headers, is_trusted=is_trusted)
        return RequestFacts(
            headers.get(b"x-request-id"),
            headers.get(b"x-request-start"),
            self.visitors.members(headers, address),
            headers.get(b"traceparent"),
        )

    def take(
        self,
        transport: asyncio.Transport,
        target: bytes,
        facts: RequestFacts,
        *,
        is_click: bool,
        default_headers: DefaultHeaders,
    ) -> bool:
        """Answer at the end of this turn and return True, or return False and do nothing."""
        match = _TARGET.match(target)
        if match is None or CLOSE in default_headers:  # uvicorn closes after such an answer
            return False
        answer = self._resolver.ready_answer((match[2] or match[1]).decode())
        if answer is None:
            return False
        if not self._answers:
            self._began = time.perf_counter()
            self._default_headers = default_headers
            self._loop.call_soon(self.flush)
        request_id = request_id_of(facts.request_id)
        span = None
        if self._tracing is not None and self._tracing.admits(facts.traceparent):
            span = self._begin_span(target, request_id, facts, answer.status, is_click=is_click)
        self._last = (is_click, target, request_id, answer.status, span)
        if is_click:
            visitor = facts.visitor
            if span is not None:
                visitor += trace_member(span.traceparent)
            if query := match[3]:
                visitor += source_members(query)
            self._payloads.append(
                self._clicks.encode(answer.click, visitor, request_id, facts.started)
            )
        fields = b"%bx-request-id: %b\r\n\r\n" % (answer.fields, request_id)
        self._answers.append((transport, answer.status, fields))
        return True

    def _begin_span(
        self,
        target: bytes,
        request_id: bytes,
        facts: RequestFacts,
        status: int,
        *,
        is_click: bool,
    ) -> "Span | None":
        assert self._tracing is not None
        method = _method(is_click=is_click)
        span = self._tracing.begin(
            f"{method} {metrics.REDIRECT_ROUTE}",
            "server",
            {
                **request_attributes(method, _path(target), request_id.decode()),
                **answer_attributes(metrics.REDIRECT_ROUTE, status, "near"),
            },
            parent=facts.traceparent,
        )
        if span is not None:
            self._spans.append(span)
        return span

    def flush(self) -> None:
        """Record the clicks of this turn, then write its answers."""
        answers, self._answers = self._answers, []
        payloads, self._payloads = self._payloads, []
        began = time.perf_counter()
        if payloads:
            self._clicks.record(payloads)
        recorded = time.perf_counter()
        defaults = b"".join(b"%b: %b\r\n" % pair for pair in self._default_headers)
        starts = {status: line + defaults for status, line in STATUS_LINES.items()}
        for transport, status, fields in answers:
            if not transport.is_closing():
                transport.write(starts[status] + fields)
        seconds = time.perf_counter() - self._began
        metrics.NEAR_HIT.inc(len(answers))
        spans, self._spans = self._spans, []
        for span in spans:
            span.end()
        for status, times in Counter(status for _, status, _ in answers).items():
            metrics.answered(status, "near", seconds, times)
        level = self._log.level(OK, seconds, len(answers))
        if level is not None:
            self._write_line(level, seconds, recorded - began)

    def _write_line(self, level: int, seconds: float, journal_seconds: float) -> None:
        """Write the line of the last request of this turn: it stands for all that took so long."""
        is_click, target, request_id, status, span = self._last
        facts = {
            "request_id": request_id.decode(),
            **line_facts(_method(is_click=is_click), metrics.REDIRECT_ROUTE, _path(target), status),
            "source": "near",
            "duration_ms": milliseconds(seconds),
            "timings": {"journal": milliseconds(journal_seconds)},
        }
        if span is not None:
            facts["trace_id"] = span.trace_id
        self._log.write(level, "request", facts)


def _method(*, is_click: bool) -> str:
    return "GET" if is_click else "HEAD"


def _path(target: bytes) -> str:
    return shown(target.partition(b"?")[0])
