"""A TCP proxy that delays, swallows, cuts and half-opens connections on demand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CHUNK_BYTES = 64 << 10


class Proxy:
    """Listens on `port` of loopback and passes everything to `target_port`."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.delay_seconds = 0.0  # added to each chunk, both ways
        self.drops_replies = False  # the server hears, the client does not: outcome unknown
        self.drops_requests = False  # the server hears nothing; what it still says passes
        self.is_black_hole = False  # nothing passes, nothing is refused
        self.refuses = False  # new connections are closed at once
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    def heal(self) -> None:
        """Pass everything again; what was swallowed stays lost, so such connections are cut."""
        self.delay_seconds = 0.0
        if self.is_black_hole or self.drops_replies or self.drops_requests:
            self.cut()
        self.is_black_hole = self.drops_replies = self.drops_requests = self.refuses = False

    async def accept(
        self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter
    ) -> None:
        if self.refuses:
            client_writer.transport.abort()
            return
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            client_writer.transport.abort()
            return
        pair = {client_writer, writer}
        self._writers |= pair
        try:
            await asyncio.gather(
                self._pump(client_reader, writer, is_reply=False),
                self._pump(reader, client_writer, is_reply=True),
            )
        finally:
            self._writers -= pair
            for side in pair:
                side.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                if self.is_black_hole or (self.drops_replies if is_reply else self.drops_requests):
                    continue
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def proxy(target_port: int) -> AsyncIterator[Proxy]:
    """Run a proxy before `target_port`."""
    running = Proxy(target_port)
    server = await asyncio.start_server(running.accept, "127.0.0.1", 0)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        running.cut()
        server.close()
