"""What every HTTP service notes of each request it has answered."""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import checkpoints
from shared.checkpoints import Journey
from shared.telemetry import Attributes, Tracing

if TYPE_CHECKING:
    from shared.spans import Span

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
HEADER = b"traceparent"
MAX_PATH = 256  # characters of a path in a span
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
        same_routes: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.app = app
        self._same_routes = same_routes
        self._note = note
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        span = self._begin(scope)
        token = checkpoints.current.set(Journey(self._tracing, span))
        start: tuple[int, float] | None = None

        async def noting(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message["status"], time.perf_counter()
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            checkpoints.current.reset(token)
            status, at = start or (500, time.perf_counter())
            route = _route(scope)
            route = self._same_routes.get(route, route)
            answered = Answered(route, _method(scope), status, at - began, scope)
            self._note(answered)
            if span is not None:
                _end(span, answered)

    def _begin(self, scope: Scope) -> "Span | None":
        traceparent = next((value for name, value in scope["headers"] if name == HEADER), None)
        if not self._tracing.wants(traceparent):
            return None
        method = _method(scope)
        attributes = request_attributes(method, scope["path"], scope["request_id"])
        return self._tracing.begin(method, "server", attributes, parent=traceparent)


def request_attributes(method: str, path: str, request_id: str) -> Attributes:
    """Return what a request's span tells from its beginning; neither query nor address."""
    return {
        "http.request.method": method,
        "url.scheme": "http",
        "url.path": path[:MAX_PATH],
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
