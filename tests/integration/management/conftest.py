"""Management in this process, on a real socket, before real stores."""

import asyncio
import http.client
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import pytest
import uvicorn

from management import connections
from management.app import create_app
from management.settings import Settings
from shared.serve import HTTP_PROTOCOL
from tests.conftest import database_url


class Answer(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        assert set(self.json) <= {"error", "details"}, "every error has the same shape"
        return str(self.json["error"])


class Api(msgspec.Struct, frozen=True):
    """A client of a running management service."""

    port: int
    key: str | None = None

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        content = raw if raw is not None or body is None else json.dumps(body).encode()
        fields = {"Content-Type": "application/json", **(headers or {})}
        if self.key is not None:
            fields["Authorization"] = f"Bearer {self.key}"
        return await asyncio.to_thread(_ask, self.port, method, path, content, fields)

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        return await self.ask("POST", path, body, **options)

    async def put(self, path: str, body: Any = None, **options: Any) -> Answer:
        return await self.ask("PUT", path, body, **options)

    async def delete(self, path: str, **options: Any) -> Answer:
        return await self.ask("DELETE", path, **options)

    async def user(self, name: str = "ada") -> int:
        answer = await self.post("/users", {"username": name, "email": f"{name}@example.com"})
        assert answer.status == 201, answer.body
        return int(answer.json["id"])

    async def url(self, user_id: int, **fields: Any) -> dict[str, Any]:
        body = {"user_id": user_id, "original_url": "https://example.com/a", **fields}
        answer = await self.post("/urls", body)
        assert answer.status == 201, answer.body
        return dict(answer.json)

    async def upload(self, content: bytes, field: str = "file") -> Answer:
        boundary = "boundary"
        raw = (
            (
                f"--{boundary}\r\n"
                f"Content-Disposition: form-data; name={field}; filename=u.csv\r\n\r\n"
            ).encode()
            + content
            + f"\r\n--{boundary}--\r\n".encode()
        )
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return await self.post("/users/bulk", raw=raw, headers=headers)


def _ask(
    port: int, method: str, path: str, content: bytes | None, headers: dict[str, str]
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, content, headers)
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, response.read())
    finally:
        connection.close()


Start = Callable[..., AbstractAsyncContextManager[Api]]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what a busy machine takes to connect is not answered with 503."""
    monkeypatch.setattr(connections, "ACQUIRE_TIMEOUT_SECONDS", 5.0)


@pytest.fixture
def start(database: str, cache_url: str, bus_url: str) -> Start:
    """Starts management; arguments override its settings."""

    @asynccontextmanager
    async def started(**overrides: Any) -> AsyncIterator[Api]:
        server_url, _, name = database.rpartition("/")
        values: dict[str, Any] = {
            "postgres_dsn": database_url(f"{server_url}/x", name, "shortwire_management"),
            "cache_url": cache_url,
            "bus_url": bus_url,
            "auth": "open",
            "key_rate": 1_000_000,
            "address_rate": 1_000_000,
            **overrides,
        }
        config = uvicorn.Config(
            create_app(Settings(**values)), port=0, http=HTTP_PROTOCOL, ws="none", log_config=None
        )
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server._serve())  # not serve(): it takes over signals
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield Api(server.servers[0].sockets[0].getsockname()[1])
        finally:
            server.should_exit = True
            await serving

    return started


@pytest.fixture
async def api(start: Start) -> AsyncIterator[Api]:
    """Management with AUTH=open."""
    async with start() as running:
        yield running
