"""`/urls/{url_id}/events/live`: the link's clicks as server-sent events.

Their format: https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from management import url_repository
from management.connections import connection
from management.descriptions import Media
from management.errors import NotFound
from management.fields import Moment
from management.live_clicks import Listener, LiveClick, LiveClicks, TooManyListeners
from management.live_positions import Positions, parse_positions, write_positions
from management.resources import State, operation, path_id, principal_of
from management.streamed import Streamed
from shared.errors import REDIS_ERRORS

HEARTBEAT_SECONDS = 5.0  # below what any proxy waits for a silent server
MAX_SECONDS = 900.0  # then a client comes again, and shows its key again
HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # Nginx passes on what comes when it comes
}
EVENT_STREAM = Media(("text/event-stream",))


class Shown(msgspec.Struct, frozen=True, omit_defaults=True):
    """A click as its link's owner sees it live."""

    id: UUID
    at: Moment
    code: str
    url_id: int
    referrer: str | None = None
    user_agent: str | None = None
    language: str | None = None
    source: str | None = None


@operation(
    EVENT_STREAM,
    headers=("Cache-Control",),
    errors=(TooManyListeners,),
)
async def stream_clicks(request: Request[State]) -> Response:
    """Send the URL's clicks as they happen, as server-sent events.

    Each event is a `click`, its data a JSON object. A comment comes every 5 seconds where nothing
    else does. The stream ends after 15 minutes, or where a client is too slow: come again with
    the last event's id in `Last-Event-ID`, as browsers do, and get what was missed meanwhile, as
    far as the last minute goes back.
    """
    url_id = path_id(request, "url_id", "URL not found")
    principal = principal_of(request)
    text = request.headers.get("last-event-id")
    after = None if text is None else parse_positions(text)
    async with connection(request.state["pool"]) as lent:
        if await url_repository.find(lent, url_id, principal.owner) is None:
            raise NotFound("URL not found")
    if request.method == "HEAD":
        return Response(media_type=EVENT_STREAM.types[0], headers=HEADERS)
    live = request.state["live"]
    listener = await live.join(url_id, principal.user_id)

    async def leave() -> None:
        live.leave(listener)

    return Streamed(_events(live, listener, after), EVENT_STREAM.types[0], HEADERS, leave)


async def _events(
    live: LiveClicks, listener: Listener, after: Positions | None
) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    if after is not None:
        try:
            async for missed in live.missed(listener, after):
                yield _event(missed)
        except REDIS_ERRORS:
            return  # the client comes again
    async for piece in _new(listener):
        yield piece


async def _new(listener: Listener) -> AsyncIterator[bytes]:
    ends_at = time.monotonic() + MAX_SECONDS
    while time.monotonic() < ends_at:
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                live = await listener.waiting.get()
        except TimeoutError:
            yield b": nothing new\n\n"
            continue
        if live is None:
            return
        yield _event(live)


def _event(live: LiveClick) -> bytes:
    click = live.click
    shown = Shown(
        click.id,
        click.at.astimezone(UTC).replace(tzinfo=None),
        click.code,
        click.url_id,
        click.referrer,
        click.user_agent,
        click.language,
        click.source,
    )
    positions = write_positions(live.positions).encode()
    return b"id: %b\nevent: click\ndata: %b\n\n" % (positions, msgspec.json.encode(shown))
