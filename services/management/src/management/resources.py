"""A path of the API: its operations by method, and who may call them."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypedDict

import msgspec
from redis.asyncio import Redis
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from management import actors, fields, idempotency
from management.actors import Actor
from management.admission import Admission
from management.auth import Principal
from management.bodies import MAX_JSON_BYTES, Upload
from management.descriptions import NOTHING, Description, Path
from management.errors import NotFound
from management.fields import Body, Schema
from management.live_clicks import LiveClicks
from management.passwords import Passwords
from shared.checkpoints import checkpoint
from shared.errors import DomainError
from shared.postgres import Pool


class State(TypedDict):
    """What the lifespan opens and each request uses."""

    pool: Pool
    cache: Redis
    bus: Redis
    passwords: Passwords
    admission: Admission
    live: LiveClicks
    exports: asyncio.Semaphore
    own_hosts: frozenset[str]
    public_url: str
    private_targets: bool
    openapi: bytes


Handler = Callable[[Request[State]], Awaitable[Response]]


class Operation(msgspec.Struct, frozen=True):
    """A handler and its description."""

    handler: Handler
    description: Description


def operation(
    returns: object = None,
    *,
    status: int = 200,
    other_statuses: tuple[int, ...] = (),
    example: object = None,
    headers: tuple[str, ...] = (),
    body: Body | Upload | None = None,
    query: Mapping[str, Schema] = NOTHING,
    path: Mapping[str, Schema] = NOTHING,
    is_conditional: bool = False,
    errors: tuple[type[DomainError], ...] = (),
    is_once: bool = False,
    max_bytes: int = MAX_JSON_BYTES,
) -> Callable[[Handler], Operation]:
    """Describe a handler: see `Description`; its docstring says what it does."""

    def described(handler: Handler) -> Operation:
        text = inspect.getdoc(handler)
        if not text:
            raise ValueError(f"{handler.__name__} has no docstring")
        description = Description(
            name=handler.__name__,
            text=text,
            returns=returns,
            status=status,
            other_statuses=other_statuses,
            example=example,
            headers=headers,
            body=body,
            query=query,
            path=path,
            is_conditional=is_conditional,
            errors=errors,
            is_once=is_once,
        )
        return Operation(idempotency.once(handler, max_bytes) if is_once else handler, description)

    return described


class Resource:
    """An ASGI application for one path."""

    def __init__(self, path: str, *, needs_key: bool = True, **operations: Operation) -> None:
        self.operations = operations
        self._path = path
        self._needs_key = needs_key
        self._handlers = {
            method.upper(): operation.handler for method, operation in operations.items()
        }
        if "GET" in self._handlers:
            self._handlers["HEAD"] = self._handlers["GET"]

    @property
    def described(self) -> Path:
        """What it does, as data."""
        methods = {method: each.description for method, each in self.operations.items()}
        return Path(self._path, methods, self._needs_key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request[State]) -> Response:
        handler = self._handlers.get(request.method)
        if handler is None:
            allowed = ", ".join(sorted(self._handlers))
            raise HTTPException(405, "Method not allowed", {"Allow": allowed})
        if self._needs_key:
            with checkpoint("authenticate"):
                principal = await request.state["admission"].admit(request)
            principal.require_method(request.method)
            request.scope["principal"] = principal
            actors.act_as(Actor(principal.user_id, principal.key_id, request.scope["request_id"]))
        names = [part for key, part in request.path_params.items() if not key.endswith("id")]
        if any("\0" in name for name in names):
            raise NotFound("Not found")  # nor can PostgreSQL look for it
        return await handler(request)


def route(path: str, *, needs_key: bool = True, **operations: Operation) -> list[Route]:
    """Return the routes of `path`, with and without a slash after it; operations are by method."""
    resource = Resource(path, needs_key=needs_key, **operations)
    paths = {path, f"{path}/"} if path != "/" else {path}
    return [Route(each, resource) for each in sorted(paths)]


def paths_of(routes: Iterable[Route]) -> list[Path]:
    """Return the descriptions of `routes`, each path once, without the slash after it."""
    paths = {}
    for each in routes:
        assert isinstance(each.endpoint, Resource), f"{each.path} is not described"
        described = each.endpoint.described
        paths[described.path] = described
    return list(paths.values())


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
