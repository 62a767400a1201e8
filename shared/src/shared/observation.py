"""What every HTTP service notes of each request it has answered."""

import time
from collections.abc import Callable

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
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
    """Calls `note` once for each request, when its answer is sent or has failed."""

    def __init__(self, app: ASGIApp, note: Callable[[Answered], None]) -> None:
        self.app = app
        self._note = note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        start: tuple[int, float] | None = None

        async def noting(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message["status"], time.perf_counter()
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            status, at = start or (500, time.perf_counter())
            self._note(Answered(_route(scope), _method(scope), status, at - began, scope))


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
