"""uvicorn's HTTP protocol with a short cut: see `hot_path`.

A request that is plain (GET or HEAD, HTTP/1.1, whole in one piece, no body, no prefetch, nobody
before it on its connection still waiting) and whose link this worker remembers never becomes an
ASGI task. Any other goes to uvicorn as it came, and so does everything that is unusual.

Of uvicorn this leans on: `HttpToolsProtocol` being an asyncio protocol whose `data_received` may
be called or not for a whole request; `cycle.response_complete`; `flow.write_paused`;
`send_400_response`; and its keep-alive timer. `tests/unit/redirector/test_protocol.py` fails when
one of them changes.
"""

import asyncio
import re
from typing import cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from redirector import metrics, request_headers
from redirector.hot_path import HotPath, RequestFacts, request_facts
from shared.http import MALFORMED, raw_error

MAX_HEAD_BYTES = 32 << 10  # request line and headers; the gateway's own limit is the same
HEAD_SECONDS = 10.0  # for all of the head, once it has begun
END_OF_HEAD = b"\r\n\r\n"
GET, HEAD = b"GET /", b"HEAD /"
HTTP = b" HTTP/1.1\r\n"

# How the gateway's heads begin: what differs in each of its requests stands before all else.
_GATEWAY = re.compile(
    rb" HTTP/1.1\r\nHost: [!-~]+\r\nX-Request-ID: ([!-~]{1,128})\r\nX-Request-Start: (\d+\.\d+)\r\n"
)

TOO_LARGE = (b"431 Request Header Fields Too Large", "Request headers too large")
TOO_SLOW = (b"408 Request Timeout", "The request took too long")


class _Probe:
    """Tells whether a piece of data is one whole, plain request."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._complete = 0
        self._is_plain = True

    def is_plain(self, data: bytes) -> bool:
        """Parse `data`; after False this probe is used up."""
        self._complete = 0
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        return self._complete == 1 and self._is_plain

    def on_headers_complete(self) -> None:
        parser = self._parser
        if not parser.should_keep_alive() or parser.get_http_version() != "1.1":
            self._is_plain = False

    def on_body(self, _body: bytes) -> None:
        self._is_plain = False

    def on_message_complete(self) -> None:
        self._complete += 1


class RedirectProtocol(HttpToolsProtocol):
    """One connection."""

    _hot_path: HotPath
    _facts: RequestFacts
    _peer: str
    _is_trusted: bool
    # Of the last plain request, for a client repeats them: all behind its target, and of a
    # gateway's the header fields behind those that differ in each request.
    _tail = b""
    _fields = b""
    _probe: _Probe | None = None
    _in_message = False
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _answered_at = 0.0

    # What uvicorn and the transport call

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; the application has started."""
        self._hot_path = cast("HotPath", self.app_state["hot_path"])
        super().connection_made(transport)
        self._peer = self.client[0] if self.client else ""
        self._is_trusted = self._hot_path.visitors.is_trusted(self._peer)

    def data_received(self, data: bytes) -> None:
        """Answer at once what can be, and give uvicorn the rest."""
        if self._take(data):
            return
        starts = not self._in_message and len(data) > MAX_HEAD_BYTES
        if starts and END_OF_HEAD not in data[:MAX_HEAD_BYTES]:
            self._refuse(*TOO_LARGE)
            return
        super().data_received(data)
        if self._head_timer is None:
            self._head_bytes = 0
        else:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(*TOO_LARGE)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the connection."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close, once what was taken is answered."""
        self._hot_path.flush()
        super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that neither way was used for so long."""
        idle = self.loop.time() - self._answered_at
        if idle < self.timeout_keep_alive:
            self._keep_alive_for(self.timeout_keep_alive - idle)
        else:
            super().timeout_keep_alive_handler()

    # What the parser calls, for requests on uvicorn's way

    def on_message_begin(self) -> None:
        """Limit the time that the head may take."""
        self._in_message = True
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse_slow)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Pass on a request whose head is within its limit."""
        self._stop_head_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the next byte begins another request."""
        self._in_message = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's sentence
        """Refuse what is no HTTP, in the shape of all our errors."""
        self._refuse(*MALFORMED)

    def _take(self, data: bytes) -> bool:
        """Answer `data` if it is a plain request for what is remembered."""
        cycle = self.cycle
        if (
            self._in_message
            or len(data) > MAX_HEAD_BYTES
            or self.flow.write_paused
            or (cycle and not cycle.response_complete)
        ):
            return False
        tail = self._tail
        if tail and data.endswith(tail):
            end = len(data) - len(tail)  # is more before it than a target, no link has its name
        else:
            end = data.find(HTTP)
            if end < 0 or not self._learn(data, end):
                return False
        is_click = data.startswith(GET)
        if not is_click and not data.startswith(HEAD):
            return False
        taken = self._hot_path.take(
            self.transport,
            data[len(GET) if is_click else len(HEAD) : end],
            self._facts,
            self.server_state.default_headers,
            is_click=is_click,
        )
        if taken:
            self._answered_at = self.loop.time()
            if self.timeout_keep_alive_task is None:
                self._keep_alive_for(self.timeout_keep_alive)
        return taken

    def _learn(self, data: bytes, end: int) -> bool:
        """Take in a head unlike the last request's, unless the request is not plain or no visit.

        `end` is that of its target.
        """
        gateway = _GATEWAY.match(data, end)
        if gateway and self._fields and data[gateway.end() :] == self._fields:
            self._tail = b""
            known = self._facts
            self._facts = request_facts(gateway[1], gateway[2], known.visitor, known.traceparent)
            return True
        if not data.endswith(END_OF_HEAD):
            return False
        probe = self._probe or _Probe()
        if not probe.is_plain(data):
            self._probe = None
            return False
        self._probe = probe
        tail = data[end:]
        headers = request_headers.from_head(tail)
        if request_headers.is_prefetch(headers):
            self._tail = self._fields = b""
            return False
        self._tail = tail
        self._fields = data[gateway.end() :] if gateway else b""
        self._facts = self._hot_path.facts(headers, self._peer, is_trusted=self._is_trusted)
        return True

    def _keep_alive_for(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse_slow(self) -> None:
        self._refuse(*TOO_SLOW)

    def _refuse(self, status: bytes, message: str) -> None:
        self._stop_head_timer()
        if not self.transport.is_closing():
            metrics.refused(int(status[:3]))
            self.transport.write(raw_error(status, message))
            self.transport.close()
