"""`/events/export`: all events that a list would show, in one answer of any length."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from management import event_repository, fields, pages
from management.connections import snapshot
from management.descriptions import Media
from management.event_handlers import FILTERS
from management.event_repository import Event
from management.resources import State, operation, principal_of
from management.streamed import Streamed
from shared.errors import Unavailable

# Each holds a connection: the others of the pool are for everybody else.
MAX_EXPORTS = 2
WAIT_SECONDS = 1.0  # one that was read to its end gives its connection back a moment later
COLUMNS = ("id", "url_id", "user_id", "event_type", "timestamp", "details")
# What a spreadsheet takes for a formula, and the mark itself, so that it can be taken off again.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")
CSV, NDJSON = "text/csv", "application/x-ndjson"
KINDS = {"csv": CSV, "ndjson": NDJSON}

_encoder = msgspec.json.Encoder()

Write = Callable[[Sequence[Event]], bytes]


@fields.accepts(
    type="string",
    enum=list(KINDS),
    description="Without it `Accept` decides: NDJSON where that is asked for, else CSV.",
)
def _format(value: str) -> str:
    if value not in KINDS:
        raise ValueError(f"must be {' or '.join(KINDS)}")
    return value


FORMAT = {"format": _format}


@operation(
    Media((CSV, NDJSON)),
    headers=("Content-Disposition",),
    query={name: check.schema for name, check in (FORMAT | FILTERS).items()},
)
async def export_events(request: Request[State]) -> Response:
    """Return all events in the order of ids; an owner gets their own.

    CSV has the columns that `shortwire import --events` reads: times in UTC, details as JSON. A
    type that a spreadsheet would take for a formula has a `'` before it, which the import takes
    off. Of NDJSON each line is an event as a list shows it. An answer that breaks off is not
    whole: its connection is closed without an end.
    """
    kind = pages.read_filters(request, FORMAT).get("format") or _accepted(request)
    filters = pages.read_filters(request, FILTERS)
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="events.{kind}"',
    }
    if request.method == "HEAD":
        return Response(media_type=KINDS[kind], headers=headers)
    running = request.state["exports"]
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await running.acquire()
    except TimeoutError:
        raise Unavailable("Other exports are running, please try again") from None
    async with AsyncExitStack() as opened:
        opened.callback(running.release)
        lent = await opened.enter_async_context(snapshot(request.state["pool"]))
        batches = event_repository.stream(lent, filters, principal_of(request).owner)
        pieces = _pieces(batches, _lines) if kind == "ndjson" else _table(batches)
        return Streamed(pieces, KINDS[kind], headers, opened.pop_all().aclose)
    raise AssertionError("an exit stack swallows nothing")


def _accepted(request: Request[State]) -> str:
    return "ndjson" if NDJSON in request.headers.get("accept", "").lower() else "csv"


async def _table(batches: AsyncIterator[Sequence[Event]]) -> AsyncIterator[bytes]:
    yield f"{','.join(COLUMNS)}\r\n".encode()
    async for piece in _pieces(batches, _rows):
        yield piece


async def _pieces(batches: AsyncIterator[Sequence[Event]], write: Write) -> AsyncIterator[bytes]:
    async for batch in batches:
        yield write(batch)


def _lines(events: Sequence[Event]) -> bytes:
    shown = [msgspec.structs.replace(event, actor=msgspec.UNSET) for event in events]
    return _encoder.encode_lines(shown)


def _rows(events: Sequence[Event]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    for event in events:
        writer.writerow(
            (
                event.id,
                event.url_id,
                event.user_id,
                _not_a_formula(event.event_type),
                event.timestamp.isoformat(" "),
                msgspec.json.encode(event.details).decode(),
            )
        )
    return text.getvalue().encode()


def _not_a_formula(value: str) -> str:
    return f"'{value}" if value.startswith(FORMULA_STARTS) else value
