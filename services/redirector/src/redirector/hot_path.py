"""Redirects answered before ASGI: what this worker remembers, to whoever asks for it plainly.

All requests that arrive in one turn of the event loop share one write to the journal. The
journal comes first: whatever kills this process then, no visitor was answered without a record.
"""

import asyncio
import re
import time

from redirector import metrics
from redirector.click_recorder import ClickRecorder
from redirector.request_facts import RequestFacts
from redirector.resolver import Resolver
from shared.http import request_id_of

STATUS_LINE = b"HTTP/1.1 302 Found\r\n"

_TARGET = re.compile(rb"/(?:urls/([\w-]{1,64})/redirect|([\w-]{1,64}))/?(?:\?[!-~]*)?\Z")

DefaultHeaders = list[tuple[bytes, bytes]]


class HotPath:
    """The answers of one turn, for all connections of this worker."""

    def __init__(self, resolver: Resolver, clicks: ClickRecorder) -> None:
        self._resolver = resolver
        self._clicks = clicks
        self._loop = asyncio.get_running_loop()
        self._began = 0.0
        self._default_headers: DefaultHeaders = []
        self._answers: list[tuple[asyncio.Transport, bytes]] = []
        self._payloads: list[bytes] = []

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
        answer = match and self._resolver.ready_answer((match[2] or match[1]).decode())
        if not answer:
            return False
        if not self._answers:
            self._began = time.perf_counter()
            self._default_headers = default_headers
            self._loop.call_soon(self.flush)
        request_id = request_id_of(facts.request_id)
        if is_click:
            self._payloads.append(
                self._clicks.encode(answer.click, facts.visitor, request_id, facts.started)
            )
        self._answers.append(
            (transport, b"%bx-request-id: %b\r\n\r\n" % (answer.fields, request_id))
        )
        return True

    def flush(self) -> None:
        """Record the clicks of this turn, then write its answers."""
        answers, self._answers = self._answers, []
        payloads, self._payloads = self._payloads, []
        if payloads:
            self._clicks.record(payloads)
        start = STATUS_LINE + b"".join(b"%b: %b\r\n" % pair for pair in self._default_headers)
        for transport, fields in answers:
            if not transport.is_closing():
                transport.write(start + fields)
        if answers:
            metrics.answered(302, "near", time.perf_counter() - self._began, len(answers))
