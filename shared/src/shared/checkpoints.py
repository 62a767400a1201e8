"""The named steps of a request: what its line of log tells the times of, and its trace shows."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from shared import streams, telemetry
from shared.telemetry import Attributes, Kind, Tracing

if TYPE_CHECKING:
    from shared.spans import Span

Step = Literal[
    "authenticate",
    "cache_get",
    "cache_lease",
    "cache_set",
    "db_read",
    "db_write",
    "journal",
    "password",
    "announce",
    "serialize",
    "enrich",
    "insert",
    "settle",
]

_NOTHING: Attributes = MappingProxyType({})
_CACHE: Attributes = MappingProxyType({"db.system.name": "redis"})
_DATABASE: Attributes = MappingProxyType({"db.system.name": "postgresql"})
_INSERT: Attributes = MappingProxyType(
    {
        "db.system.name": "postgresql",
        "db.operation.name": "INSERT",
        "db.collection.name": "events",
    }
)
# Name, kind and attributes of a step's span; what is not here happens in this process.
_SPANS: dict[Step, tuple[str, Kind, Attributes]] = {
    "cache_get": ("cache_get", "client", _CACHE),
    "cache_lease": ("cache_lease", "client", _CACHE),
    "cache_set": ("cache_set", "client", _CACHE),
    "db_read": ("db_read", "client", _DATABASE),
    "db_write": ("db_write", "client", _DATABASE),
    "insert": ("insert events", "client", _INSERT),
    "settle": ("settle clicks", "client", telemetry.messaging(streams.CLICKS, "settle")),
    "announce": ("send links", "producer", telemetry.messaging(streams.LINKS, "send")),
}


class Journey:
    """One request or batch on its way through this process; `span` is None where untraced."""

    __slots__ = ("request_id", "span", "timings", "tracing")

    def __init__(self, tracing: Tracing, span: "Span | None", request_id: str = "") -> None:
        self.tracing = tracing
        self.span = span
        self.request_id = request_id
        self.timings: dict[str, float] = {}  # seconds by step


current: ContextVar[Journey | None] = ContextVar("journey", default=None)


@contextmanager
def during(journey: Journey) -> Iterator[None]:
    """Let the steps of the block be those of `journey`."""
    token = current.set(journey)
    try:
        yield
    finally:
        current.reset(token)


@contextmanager
def checkpoint(step: Step) -> Iterator[None]:
    """Time the block as a step of the current request, if there is one; steps may overlap."""
    journey = current.get()
    if journey is None:
        yield
        return
    span = None if journey.span is None else _begin(journey, step)
    began = time.perf_counter()
    try:
        yield
    except BaseException as error:
        if span is not None:
            span.fail(type(error).__qualname__)
        raise
    finally:
        seconds = time.perf_counter() - began
        journey.timings[step] = journey.timings.get(step, 0.0) + seconds
        if span is not None:
            span.end()


def _begin(journey: Journey, step: Step) -> "Span | None":
    name, kind, attributes = _SPANS.get(step, (step, "internal", _NOTHING))
    return journey.tracing.begin(name, kind, attributes, parent=journey.span)


def traceparent() -> str | None:
    """Return the name of the current request's span, where it is traced."""
    journey = current.get()
    return None if journey is None or journey.span is None else journey.span.traceparent


def identity() -> dict[str, str]:
    """Return what tells the current request from others: its id, and its trace's."""
    journey = current.get()
    if journey is None:
        return {}
    ids = {"request_id": journey.request_id} if journey.request_id else {}
    if journey.span is not None:
        ids["trace_id"] = journey.span.trace_id
    return ids


def timings() -> dict[str, float]:
    """Return the steps of the current request so far, in milliseconds."""
    journey = current.get()
    if journey is None:
        return {}
    return {step: round(seconds * 1000, 3) for step, seconds in journey.timings.items()}
