"""The part of tracing that needs OpenTelemetry; imported only where traces are sent."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Span as OpenTelemetrySpan

from shared import telemetry
from shared.telemetry import Attributes, Kind

log = logging.getLogger(__name__)

MAX_WAITING_SPANS = 2_048  # beyond, the oldest ones are given up
BATCH_SPANS = 512
BATCH_MS = 1_000
EXPORT_SECONDS = 2.0  # of one try; the spans of a batch that fails are given up
CLOSE_SECONDS = 1.0  # given to the last batch, when the service stops


class Span:
    """A span, as our code uses it."""

    __slots__ = ("inner",)

    def __init__(self, inner: OpenTelemetrySpan) -> None:
        self.inner = inner

    @property
    def trace_id(self) -> str:
        """The trace it is of, in hex."""
        return f"{self.inner.get_span_context().trace_id:032x}"

    @property
    def traceparent(self) -> str:
        """The header that names it as a parent."""
        context = self.inner.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def rename(self, name: str) -> None:
        """Give it another name."""
        self.inner.update_name(name)

    def note(self, attributes: Attributes) -> None:
        """Add attributes."""
        self.inner.set_attributes(attributes)

    def fail(self, error: str) -> None:
        """Mark it as failed; `error` is of few values: the name of a type, or a status."""
        self.inner.set_attribute("error.type", error)
        self.inner.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        """End it now."""
        self.inner.end()


class Spans:
    """Makes spans, and sends them from a thread of their own."""

    def __init__(self, service: str, endpoint: str) -> None:
        # What goes wrong is logged here, once, and counted; the library would say it of each span.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        resource = Resource.create(
            {
                "service.namespace": "shortwire",
                "service.name": f"shortwire-{service}",
                "service.version": version(f"shortwire-{service}"),
            }
        )
        # Sampling is decided before a span is begun.
        self._provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                _Reported(OTLPSpanExporter(endpoint, timeout=EXPORT_SECONDS)),
                max_queue_size=MAX_WAITING_SPANS,
                max_export_batch_size=BATCH_SPANS,
                schedule_delay_millis=BATCH_MS,
            )
        )
        self._tracer = self._provider.get_tracer("shortwire")

    def begin(
        self,
        name: str,
        kind: Kind,
        attributes: Attributes,
        *,
        parent: Span | bytes | str | None,
        links: Sequence[str],
    ) -> Span:
        """Begin a span; see `telemetry.Tracing.begin`."""
        telemetry.SPANS_BEGUN.inc()
        above = parent.inner if isinstance(parent, Span) else _remote(parent)
        return Span(
            self._tracer.start_span(
                name,
                # Without a parent of ours not that of the library's own context, either.
                context=Context() if above is None else set_span_in_context(above, Context()),
                kind=SpanKind[kind.upper()],
                attributes=attributes,
                links=[
                    Link(span.get_span_context())
                    for link in links
                    if (span := _remote(link)) is not None
                ],
            )
        )

    async def close(self) -> None:
        """Send what is left, for at most `CLOSE_SECONDS`."""
        # A daemon: the interpreter does not wait for an exporter whose receiver is away.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, CLOSE_SECONDS)


class _Reported(SpanExporter):
    """Counts what becomes of spans, and logs when it changes."""

    def __init__(self, exporter: OTLPSpanExporter) -> None:
        self._exporter = exporter
        self._is_working = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; its failure is its end."""
        result = self._exporter.export(spans)
        is_working = result is SpanExportResult.SUCCESS
        (telemetry.SPANS_SENT if is_working else telemetry.SPANS_FAILED).inc(len(spans))
        if is_working != self._is_working:
            self._is_working = is_working
            if is_working:
                log.info("traces.sent_again")
            else:
                log.warning("traces.not_taken")
        return result

    def shutdown(self) -> None:
        """Close the connection."""
        self._exporter.shutdown()


def _remote(traceparent: bytes | str | None) -> OpenTelemetrySpan | None:
    parent = telemetry.parse(traceparent)
    if parent is None:
        return None
    return NonRecordingSpan(
        SpanContext(
            parent.trace_id,
            parent.span_id,
            is_remote=True,
            trace_flags=TraceFlags(TraceFlags.SAMPLED if parent.is_sampled else 0),
        )
    )
