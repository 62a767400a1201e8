"""`Idempotency-Key`: a POST that is sent again is carried out once and answered alike.

A key is kept for `KEPT_SECONDS` for whom it came from. Only success is kept: a request that was
refused changed nothing, and may be mended and sent again under the same key.
"""

import functools
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from management import idempotency_repository
from management.auth import Principal
from management.bodies import read_body
from management.connections import connection
from management.errors import Conflict, Invalid, Malformed
from management.idempotency_repository import Kept
from shared.postgres import Pool

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEPT_SECONDS = 24 * 3600.0
# After it a request that was never answered is taken for dead, with its process.
UNANSWERED_SECONDS = 60.0
PURGED_AT_ONCE = 10  # more than each request adds, so that old keys do not pile up
MAX_KEY = 255
KEPT_HEADERS = ("content-type", "etag", "location")
KEY_PATTERN = rf"[!-~]{{1,{MAX_KEY}}}"
_KEY = re.compile(rf"{KEY_PATTERN}\Z")

Handler = Callable[[Request[Any]], Awaitable[Response]]


def once(handler: Handler, max_bytes: int) -> Handler:
    """Return `handler`, carried out once for each key; its body has at most `max_bytes`."""

    @functools.wraps(handler)
    async def answer(request: Request[Any]) -> Response:
        key = request.headers.get(HEADER)
        if key is None:
            return await handler(request)
        if not _KEY.match(key):
            message = f"{HEADER} must be 1 to {MAX_KEY} visible ASCII characters"
            raise Malformed(message, {HEADER: message})
        body = await read_body(request, max_bytes)
        key_hash = _key_hash(request.scope["principal"], key)
        fingerprint = _fingerprint(request, key, body)
        return await _once(handler, _again(request, body), key_hash, fingerprint)

    return answer


async def _once(
    handler: Handler, request: Request[Any], key_hash: bytes, fingerprint: bytes
) -> Response:
    pool: Pool = request.state["pool"]
    async with connection(pool) as lent:
        await idempotency_repository.purge(lent, KEPT_SECONDS, PURGED_AT_ONCE)
        claimed_at = await idempotency_repository.claim(
            lent, key_hash, fingerprint, KEPT_SECONDS, UNANSWERED_SECONDS
        )
        if claimed_at is None:
            return _replay(await idempotency_repository.find(lent, key_hash), fingerprint)
    try:
        response = await handler(request)
    except Exception:
        async with connection(pool) as lent:
            await idempotency_repository.release(lent, key_hash, claimed_at)
        raise
    async with connection(pool) as lent:
        await idempotency_repository.keep(
            lent,
            key_hash,
            claimed_at,
            status=response.status_code,
            headers={
                name: response.headers[name] for name in KEPT_HEADERS if name in response.headers
            },
            body=bytes(response.body),
        )
    return response


def _replay(kept: Kept | None, fingerprint: bytes) -> Response:
    if kept is not None and not hmac.compare_digest(kept.fingerprint, fingerprint):
        message = f"{HEADER} was used for another request"
        raise Invalid(message, {HEADER: message})
    if kept is None or kept.status is None:
        message = f"A request with this {HEADER} is being carried out"
        raise Conflict(message, {HEADER: message})
    return Response(kept.body, kept.status, {**kept.headers, REPLAYED: "true"})


def _key_hash(principal: Principal, key: str) -> bytes:
    owner = principal.user_id if principal.user_id is not None else f"key {principal.key_id}"
    return hashlib.sha256(f"{owner}\0{key}".encode()).digest()


def _fingerprint(request: Request[Any], key: str, body: bytes) -> bytes:
    """Tell requests apart, and nothing of what is in them: the key itself is kept nowhere."""
    asked = f"{request.method} {request.url.path}?{request.url.query}\0".encode()
    return hmac.digest(key.encode(), asked + body, "sha256")


def _again(request: Request[Any], body: bytes) -> Request[Any]:
    """Return the request with its body, which can be received once only."""
    message: Message = {"type": "http.request", "body": body, "more_body": False}

    async def receive() -> Message:
        return message

    return Request(request.scope, receive)
