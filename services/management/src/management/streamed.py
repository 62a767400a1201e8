"""Answers that are sent as they are made, to clients that take them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

SEND_SECONDS = 10.0  # who does not take what was sent for so long is given up

OnEnd = Callable[[], Awaitable[None]]


class Streamed(StreamingResponse):
    """Sends `pieces`, waiting for a client but not for ever; then, however it ends, `on_end`."""

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        media_type: str,
        headers: Mapping[str, str],
        on_end: OnEnd,
    ) -> None:
        super().__init__(pieces, headers=headers, media_type=media_type)
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until one side ends it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._on_end()

    async def stream_response(self, send: Send) -> None:
        """Send, or leave the answer unfinished, which the client sees."""

        async def limited(message: Message) -> None:
            async with asyncio.timeout(SEND_SECONDS):
                await send(message)

        try:
            await super().stream_response(limited)
        except TimeoutError:
            return  # uvicorn closes the connection
