"""Who may come in: the limit of the address, the key, the limit of the key."""

from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from management.auth import Guard, Principal
from management.errors import WrongKey
from management.rate_limits import Bucket, Limit, RateLimits, client_of, per_second

# Of wrong keys: ten at once, then one in six seconds. A key can't be guessed; what is spared is
# the database, and the operator's nerves.
FAILURES = Limit("failed keys", "wrong keys from this address", 1 / 6, 10)


class Admission:
    """Admits requests, each limit in requests per second."""

    def __init__(
        self, guard: Guard, limits: RateLimits, *, key_rate: int, address_rate: int
    ) -> None:
        self._guard = guard
        self._limits = limits
        self._of_key = per_second("key", key_rate)
        self._of_address = per_second("address", address_rate)

    async def admit(self, request: Request[Any]) -> Principal:
        """Return who asks; raises `TooManyRequests` or `Unauthorized`."""
        client = client_of(request.client.host if request.client else "")
        _apply(request.scope, await self._limits.take(self._of_address, client))
        principal = await self._identify(request, client)
        if principal.key_id is not None:
            _apply(request.scope, await self._limits.take(self._of_key, str(principal.key_id)))
        return principal

    async def _identify(self, request: Request[Any], client: str) -> Principal:
        if self._guard.is_open:
            return await self._guard.principal(request.headers)
        if not self._guard.has_worked(request.headers):
            failures = await self._limits.take(FAILURES, client, 0)
            if failures is not None:
                failures.require()
        try:
            return await self._guard.principal(request.headers)
        except WrongKey:
            await self._limits.take(FAILURES, client)
            raise


def _apply(scope: Scope, bucket: Bucket | None) -> None:
    if bucket is not None:
        bucket.require()
        scope["rate_limit_headers"] = bucket.headers


class RateLimitHeadersMiddleware:
    """Tell of every answer, errors too, what is left of the limit that applied last."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""

        async def send_with_limit(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in scope.get("rate_limit_headers", {}).items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_limit)
