"""Traces: OpenTelemetry where an endpoint is set, and hardly a look where none is.

Whether a request is traced is decided first, without OpenTelemetry: as its caller decided (W3C
Trace Context, https://www.w3.org/TR/trace-context-2/), else by ratio. Only what is traced costs.
"""

import itertools
import random
import re
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from prometheus_client import Counter

from shared import settings

if TYPE_CHECKING:
    from shared.spans import Span, Spans

_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?\Z"
)
SAMPLED = 0x01
MAX_LINKS = 128  # of a span

SPANS_BEGUN = Counter("shortwire_trace_spans_begun_total", "Spans begun.")
REQUESTS_REFUSED = Counter(
    "shortwire_trace_requests_refused_total", "Requests not traced, at the limit of a second."
)
SPANS_SENT = Counter("shortwire_trace_spans_sent_total", "Spans that the receiver took.")
SPANS_FAILED = Counter("shortwire_trace_spans_failed_total", "Spans that it did not take.")

Kind = Literal["server", "client", "producer", "consumer", "internal"]
Attributes = Mapping[str, str | int | float | bool]


class Settings(settings.Settings, frozen=True, kw_only=True):
    """`otel_exporter_otlp_endpoint` takes traces by OTLP over gRPC; empty: nothing is traced."""

    otel_exporter_otlp_endpoint: Annotated[str, msgspec.Meta(pattern=r"\A(https?://[^\s]+)?\Z")] = (
        ""
    )
    trace_sample_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.01
    trace_max_per_second: Annotated[int, msgspec.Meta(ge=1)] = 100  # requests of one process


class Parent(msgspec.Struct, frozen=True):
    """The span of another process that ours belongs to."""

    trace_id: int
    span_id: int
    is_sampled: bool


def parse(traceparent: bytes | str | None) -> Parent | None:
    """Return what a `traceparent` says, or None where it is none."""
    if isinstance(traceparent, str):
        traceparent = traceparent.encode("latin-1", "replace")
    match = _TRACEPARENT.match(traceparent) if traceparent else None
    if match is None:
        return None
    flags = int(match[3], 16)
    return Parent(int(match[1], 16), int(match[2], 16), bool(flags & SAMPLED))


class Tracing:
    """The traces of one service; off before `running` and without an endpoint."""

    def __init__(self, service: str, config: Settings) -> None:
        self._service = service
        self._endpoint = config.otel_exporter_otlp_endpoint
        self._ratio = config.trace_sample_ratio
        self._max_per_second = config.trace_max_per_second
        self._second = 0
        self._requests = 0
        self._spans: Spans | None = None

    @property
    def is_on(self) -> bool:
        """Tell whether anything may be traced."""
        return self._spans is not None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send spans beside the block; whoever takes them may be away, now or later."""
        if not self._endpoint:
            yield
            return
        # 16 MB: only for a process that is traced.
        from shared.spans import Spans  # noqa: PLC0415

        self._spans = Spans(self._service, self._endpoint)
        try:
            yield
        finally:
            spans, self._spans = self._spans, None
            await spans.close()

    def wants(self, traceparent: bytes | str | None) -> bool:
        """Tell whether a request is to be traced: as its caller decided, else by ratio."""
        if self._spans is None:
            return False
        if traceparent is not None and (parent := parse(traceparent)) is not None:
            return parent.is_sampled
        return random.random() < self._ratio  # noqa: S311 - no secret

    def admits(self, traceparent: bytes | None) -> bool:
        """Tell whether a request from outside is to be traced: as `wants`, within the limit.

        Anybody may send a `traceparent`, and a trace costs many times what a redirect does.
        """
        if not self.wants(traceparent):
            return False
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._requests = second, 0
        self._requests += 1
        if self._requests > self._max_per_second:
            REQUESTS_REFUSED.inc()
            return False
        return True

    def begin(
        self,
        name: str,
        kind: Kind,
        attributes: Attributes,
        *,
        parent: "Span | bytes | str | None" = None,
        links: Sequence[str] = (),
    ) -> "Span | None":
        """Begin a span that the caller ends; None where tracing is off.

        `parent` is one of ours or a `traceparent`; `links` are `traceparent`s.
        """
        if self._spans is None:
            return None
        return self._spans.begin(name, kind, attributes, parent=parent, links=links)

    @contextmanager
    def child(
        self,
        name: str,
        kind: Kind,
        attributes: Attributes,
        parent: "Span | str | msgspec.UnsetType | None",
    ) -> "Iterator[Span | None]":
        """Give the block a span below `parent`; none where that is not traced."""
        span = None
        if parent and (not isinstance(parent, str) or self.wants(parent)):
            span = self.begin(name, kind, attributes, parent=parent)
        with _ended(span):
            yield span

    @contextmanager
    def linked(
        self, name: str, kind: Kind, attributes: Attributes, links: Sequence[str]
    ) -> "Iterator[Span | None]":
        """Give the block a span of a trace of its own, linked to others; none without `links`."""
        span = self.begin(name, kind, attributes, links=links) if links else None
        with _ended(span):
            yield span

    def links(self, traceparents: Iterable[str | None]) -> list[str]:
        """Return the requests that messages belong to and that are traced, each once."""
        if not self.is_on:
            return []
        distinct = dict.fromkeys(each for each in traceparents if each is not None)
        traced = (each for each in distinct if self.wants(each))
        return list(itertools.islice(traced, MAX_LINKS))


@contextmanager
def _ended(span: "Span | None") -> Iterator[None]:
    """End `span` after the block, as failed where that raises."""
    try:
        yield
    except BaseException as error:
        if span is not None:
            span.fail(type(error).__qualname__)
        raise
    finally:
        if span is not None:
            span.end()


def messaging(stream: str, operation: Literal["send", "process", "settle"]) -> Attributes:
    """Return what a span of a message tells; names as of OpenTelemetry's conventions.

    https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
    """
    return {
        "messaging.system": "redis_streams",  # the conventions have no name for it
        "messaging.destination.name": stream,
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
    }
