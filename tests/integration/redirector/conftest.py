"""A redirector in this process, on a real socket, before real stores."""

import asyncio
import http.client
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import uvicorn
from redis.asyncio import Redis

from redirector.app import create_app
from redirector.settings import Settings
from shared import link_cache, streams
from shared.events import Click, LinkChanged, LinkRecord, RelayHeartbeat, clicks_decoder, encoder
from shared.postgres import Pool
from shared.tasks import background
from tests.conftest import database_url


class Answer(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes


class Redirector(msgspec.Struct, frozen=True):
    """A running redirector."""

    port: int
    server: uvicorn.Server

    async def ask(
        self, path: str, headers: dict[str, str] | None = None, method: str = "GET"
    ) -> Answer:
        return await asyncio.to_thread(_ask, self.port, method, path, headers or {})


def _ask(port: int, method: str, path: str, headers: dict[str, str]) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, response.read())
    finally:
        connection.close()


Start = Callable[..., AbstractAsyncContextManager[Redirector]]


@pytest.fixture
def start(database: str, cache_url: str, bus_url: str, tmp_path: Path) -> Start:
    """Starts a redirector; arguments override its settings."""

    @asynccontextmanager
    async def started(keep_alive_seconds: int = 75, **overrides: Any) -> AsyncIterator[Redirector]:
        head, _, name = database.rpartition("/")
        values: dict[str, Any] = {
            "postgres_dsn": database_url(f"{head}/postgres", name, "shortwire_redirector"),
            "cache_url": cache_url,
            "bus_url": bus_url,
            "journal_dir": tmp_path / "journal",
            **overrides,
        }
        app = create_app(Settings(**values))
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                port=0,
                http="redirector.protocol:RedirectProtocol",
                ws="none",
                proxy_headers=False,
                timeout_keep_alive=keep_alive_seconds,
                log_config=None,
            )
        )
        serving = asyncio.ensure_future(server._serve())  # not serve(): it takes over signals
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield Redirector(server.servers[0].sockets[0].getsockname()[1], server)
        finally:
            server.should_exit = True
            await serving

    return started


class Links:
    """Changes links as management does: row, shared cache, announcement."""

    def __init__(self, pool: Pool, cache: Redis, bus: Redis) -> None:
        self.pool = pool
        self.cache = cache
        self.bus = bus

    async def put(
        self, code: str, target: str = "https://example.com/", *, active: bool = True
    ) -> LinkRecord:
        """Insert or update the row only."""
        await self.pool.execute(
            "INSERT INTO users (id, username, email) VALUES (1, 'ada', 'ada@example.com') "
            "ON CONFLICT DO NOTHING"
        )
        row = await self.pool.fetchrow(
            """
            INSERT INTO urls AS u (short_code, user_id, original_url, is_active)
            VALUES ($1, 1, $2, $3)
            ON CONFLICT (domain_id, short_code) DO UPDATE
               SET original_url = $2, is_active = $3, version = nextval('url_version_seq')
            RETURNING id, version
            """,
            code,
            target,
            active,
        )
        assert row is not None
        return LinkRecord(
            version=row["version"],
            state="active" if active else "inactive",
            cached_at=time.time(),
            url_id=row["id"],
            user_id=1,
            target=target,
        )

    async def set(self, code: str, **columns: Any) -> None:
        """Set columns of a link's row, as its owner's options do."""
        sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 2))
        await self.pool.execute(
            f"UPDATE urls SET {sets}, version = nextval('url_version_seq') WHERE short_code = $1",
            code,
            *columns.values(),
        )

    async def change(self, code: str, target: str, *, active: bool = True) -> LinkRecord:
        """Change the row, apply it to the cache, announce it."""
        record = await self.put(code, target, active=active)
        await link_cache.apply(self.cache, 1, code, record)
        await self.announce(code, record)
        return record

    async def announce(self, code: str, record: LinkRecord) -> None:
        await self._add(
            LinkChanged(code=code, operation="updated", record=record, committed_at=0.0)
        )

    async def beat(self) -> None:
        await self._add(RelayHeartbeat(at=0.0))

    async def _add(self, message: object) -> None:
        await self.bus.xadd(streams.LINKS, {streams.LINKS_MESSAGE: encoder.encode(message)})

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Keep the relay's heartbeat up."""

        async def beat() -> None:
            while True:
                await self.beat()
                await asyncio.sleep(0.1)

        async with background(beat(), name="heartbeat"):
            yield


@pytest.fixture
def links(pool: Pool, cache: Redis, bus: Redis) -> Links:
    return Links(pool, cache, bus)


async def clicks_on(bus: Redis, *names: str) -> list[Click]:
    """The clicks on these streams; on `clicks`, where none is named."""
    found = [await bus.xrange(name) for name in names or [streams.CLICKS]]
    entries = [entry for each in found for entry in cast("streams.Entries", each)]
    frames = [clicks_decoder.decode(fields[streams.CLICKS_BATCH]) for _, fields in entries]
    return [click for frame in frames for click in frame]
