"""What every HTTP service notes of each request it has answered."""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import checkpoints
from shared.checkpoints import Journey
from shared.request_log import RequestLog, milliseconds, shown
from shared.telemetry import Attributes, Tracing

if TYPE_CHECKING:
    from shared.spans import Span

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
HEADER = b"traceparent"
QUIET_ROUTES = {"/health", "/health/ready"}
OTHER = "other"  # stands for what clients make up: paths without a route, unknown methods


class Answered(msgspec.Struct, frozen=True):
    """A request and its answer; `route` and `method` are of few values, whatever was asked.

    `seconds` is the time until the answer began: an answer that is streamed may last.
    """

    route: str
    method: str
    status: int
    seconds: float
    scope: Scope


class ObservationMiddleware:
    """Calls `note` once for each request, when its answer is sent or has failed.

    A request that is traced gets its span here; `checkpoints.current` holds its steps. Of
    `same_routes` a key is counted as its value. An endpoint may leave in `scope["source"]` by
    whom it was answered, a name of few.
    """

    def __init__(
        self,
        app: ASGIApp,
        note: Callable[[Answered], None],
        tracing: Tracing,
        request_log: RequestLog,
        same_routes: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.app = app
        self._same_routes = same_routes
        self._note = note
        self._tracing = tracing
        self._log = request_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        span = self._begin(scope)
        journey = Journey(self._tracing, span, scope["request_id"])
        start: tuple[int, float] | None = None

        async def noting(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message["status"], time.perf_counter()
            await send(message)

        with checkpoints.during(journey):
            bug: Exception | None = None
            try:
                await self.app(scope, receive, noting)
            except Exception as error:
                bug = error
                raise
            finally:
                status, at = start or (500, time.perf_counter())
                route = _route(scope)
                route = self._same_routes.get(route, route)
                answered = Answered(route, _method(scope), status, at - began, scope)
                self._note(answered)
                self._write_line(answered, bug)
                if span is not None:
                    _end(span, answered)

    def _write_line(self, answered: Answered, bug: Exception | None) -> None:
        if answered.route in QUIET_ROUTES and answered.status < 500:
            return  # probes ask every few seconds
        level = self._log.level(answered.status, answered.seconds)
        if level is not None:
            path = shown(answered.scope["raw_path"])
            facts = line_facts(answered.method, answered.route, path, answered.status)
            if source := answered.scope.get("source"):
                facts["source"] = source
            if bug is not None:
                facts["error"] = bug
            facts["duration_ms"] = milliseconds(answered.seconds)
            self._log.write(level, "request", {**facts, "timings": checkpoints.timings()})

    def _begin(self, scope: Scope) -> "Span | None":
        if not self._tracing.is_on:
            return None
        traceparent = next((value for name, value in scope["headers"] if name == HEADER), None)
        if not self._tracing.admits(traceparent):
            return None
        method = _method(scope)
        attributes = request_attributes(method, shown(scope["raw_path"]), scope["request_id"])
        return self._tracing.begin(method, "server", attributes, parent=traceparent)


def line_facts(method: str, route: str, path: str, status: int) -> dict[str, object]:
    """Return what a line of log tells of a request; neither query nor address."""
    return {"method": method, "route": route, "path": path, "status": status}


def request_attributes(method: str, path: str, request_id: str) -> Attributes:
    """Return what a request's span tells from its beginning; neither query nor address."""
    return {
        "http.request.method": method,
        "url.scheme": "http",
        "url.path": path,
        "shortwire.request_id": request_id,
    }


def answer_attributes(route: str, status: int, source: str | None) -> Attributes:
    """Return what a request's span tells in its end."""
    attributes: dict[str, str | int] = {"http.route": route, "http.response.status_code": status}
    if source is not None:
        attributes["shortwire.source"] = source
    return attributes


def _end(span: "Span", answered: Answered) -> None:
    span.rename(f"{answered.method} {answered.route}")
    span.note(answer_attributes(answered.route, answered.status, answered.scope.get("source")))
    if answered.status >= 500:
        span.fail(str(answered.status))
    span.end()


def _route(scope: Scope) -> str:
    """Return the path of the route as it was declared, the same with and without a slash."""
    route = scope.get("route")
    if route is None:
        return OTHER
    path: str = route.path
    return path.rstrip("/") or "/"


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in METHODS else OTHER
