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
from shared.observation import answer_attributes, request_attributes
from shared.serve import CLOSE
from shared.telemetry import Tracing

if TYPE_CHECKING:
    from shared.spans import Span

_TARGET = re.compile(rb"/(?:urls/([\w-]{1,64})/redirect|([\w-]{1,64}))/?(?:\?([!-~]*))?\Z")

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
        self, resolver: Resolver, clicks: ClickRecorder, visitors: Visitors, tracing: Tracing
    ) -> None:
        self.visitors = visitors
        self._tracing = tracing if tracing.is_on else None
        self._spans: list[Span] = []
        self._resolver = resolver
        self._clicks = clicks
        self._loop = asyncio.get_running_loop()
        self._began = 0.0
        self._default_headers: DefaultHeaders = []
        self._answers: list[tuple[asyncio.Transport, int, bytes]] = []
        self._payloads: list[bytes] = []

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
        trace = b""
        if self._tracing is not None and self._tracing.wants(facts.traceparent):
            method = "GET" if is_click else "HEAD"
            trace = self._trace(method, target, request_id, facts, answer.status)
        if is_click:
            visitor = facts.visitor + trace
            if query := match[3]:
                visitor += source_members(query)
            self._payloads.append(
                self._clicks.encode(answer.click, visitor, request_id, facts.started)
            )
        fields = b"%bx-request-id: %b\r\n\r\n" % (answer.fields, request_id)
        self._answers.append((transport, answer.status, fields))
        return True

    def _trace(
        self,
        method: str,
        target: bytes,
        request_id: bytes,
        facts: RequestFacts,
        status: int,
    ) -> bytes:
        """Begin the span of a request that is traced; return what its click tells of it."""
        assert self._tracing is not None
        path = target.partition(b"?")[0].decode()
        span = self._tracing.begin(
            f"{method} {metrics.REDIRECT_ROUTE}",
            "server",
            {
                **request_attributes(method, path, request_id.decode()),
                **answer_attributes(metrics.REDIRECT_ROUTE, status, "near"),
            },
            parent=facts.traceparent,
        )
        if span is None:
            return b""
        self._spans.append(span)
        return trace_member(span.traceparent)

    def flush(self) -> None:
        """Record the clicks of this turn, then write its answers."""
        answers, self._answers = self._answers, []
        payloads, self._payloads = self._payloads, []
        if payloads:
            self._clicks.record(payloads)
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
