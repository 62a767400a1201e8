"""A path of the API: its handlers by method, who may call them, and its metrics."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypedDict

from redis.asyncio import Redis
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from management import fields, metrics
from management.auth import Guard, Principal
from management.errors import NotFound
from shared.errors import DATABASE_UNAVAILABLE, DomainError, Unavailable
from shared.postgres import Pool


class State(TypedDict):
    """What the lifespan opens and each request uses."""

    pool: Pool
    cache: Redis
    bus: Redis
    guard: Guard
    own_hosts: frozenset[str]


Handler = Callable[[Request[State]], Awaitable[Response]]


class Resource:
    """An ASGI application for one path."""

    def __init__(self, path: str, *, needs_key: bool = True, **handlers: Handler) -> None:
        self._path = path
        self._needs_key = needs_key
        self._handlers = {method.upper(): handler for method, handler in handlers.items()}
        if "GET" in self._handlers:
            self._handlers["HEAD"] = self._handlers["GET"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        request: Request[State] = Request(scope, receive)
        status = 500
        try:
            response = await self._answer(request)
            status = response.status_code
        except HTTPException as error:
            status = error.status_code
            raise
        except DomainError as error:
            status = error.status
            raise
        except DATABASE_UNAVAILABLE:
            status = Unavailable.status
            raise
        finally:
            method = request.method if request.method in self._handlers else "other"
            metrics.REQUESTS.labels(self._path, method, status).inc()
            metrics.SECONDS.labels(self._path).observe(time.perf_counter() - started)
        await response(scope, receive, send)

    async def _answer(self, request: Request[State]) -> Response:
        handler = self._handlers.get(request.method)
        if handler is None:
            allowed = ", ".join(sorted(self._handlers))
            raise HTTPException(405, "Method not allowed", {"Allow": allowed})
        if self._needs_key:
            guard = request.state["guard"]
            request.scope["principal"] = await guard.principal(request.headers)
        return await handler(request)


def route(path: str, *, needs_key: bool = True, **handlers: Handler) -> list[Route]:
    """Return the routes of `path`, with and without a slash after it."""
    resource = Resource(path, needs_key=needs_key, **handlers)
    paths = {path, f"{path}/"} if path != "/" else {path}
    return [Route(each, resource) for each in sorted(paths)]


def principal_of(request: Request[Any]) -> Principal:
    """Return who asks."""
    principal: Principal = request.scope["principal"]
    return principal


def path_id(request: Request[Any], name: str, missing: str) -> int:
    """Return the id in the path; raises `NotFound`, saying `missing`, where it can be none."""
    text = request.path_params[name]
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else 0
    if not 1 <= number <= fields.BIGINT_MAX:
        raise NotFound(missing)
    return number
