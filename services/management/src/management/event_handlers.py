"""`/events`: read what happened, add an event of one's own, correct one."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from management import event_repository, fields, pages, url_repository, user_repository
from management.bodies import read_object
from management.connections import connection, transaction
from management.errors import Forbidden, Malformed, NotFound
from management.event_repository import Event, NewEvent
from management.resources import State, operation, path_id, principal_of
from shared.http import JSONResponse
from shared.postgres import Connection

DEFAULT_PER_PAGE = 100
MISSING = "Event not found"
FILTERS = {
    "url_id": pages.parse_id,
    "user_id": pages.parse_id,
    "event_type": pages.parse_text,
}


@fields.accepts(
    type="object", description=f"Facts of your own, at most {fields.MAX_DETAILS_BYTES} bytes."
)
def _details(value: object) -> dict[str, Any]:
    details: dict[str, Any] = fields.json_object(value)
    encoded = msgspec.json.encode(details)
    if len(encoded) > fields.MAX_DETAILS_BYTES:
        raise ValueError(f"must not be larger than {fields.MAX_DETAILS_BYTES} bytes")
    if b"\\u0000" in encoded:
        raise ValueError("must not contain NUL characters")
    return details


CHECKS = {
    "url_id": fields.integer,
    "user_id": fields.integer,
    "event_type": fields.text(fields.MAX_EVENT_TYPE),
    "details": _details,
}
SCAN = Event(
    id=7,
    url_id=1,
    user_id=1,
    event_type="scan",
    timestamp=fields.EXAMPLE_TIME,
    details={"place": "poster"},
)
EXAMPLE = {"url_id": 1, "user_id": 1, "event_type": "scan", "details": {"place": "poster"}}
NEW = fields.Body(
    checks=CHECKS,
    example=EXAMPLE,
    required=frozenset({"url_id", "user_id", "event_type"}),
    implied=frozenset({"user_id"}),
)
CHANGES = fields.Body(checks=CHECKS, example={"event_type": "scan"}, needs_one=True)


@fields.accepts(
    type="string",
    enum=["actor"],
    description="`actor`: who made a change, where a key was asked for: `user_id` and `key_id`.",
)
def _inclusion(value: str) -> str:
    if value != "actor":
        raise ValueError("must be actor")
    return value


INCLUDE = {"include": _inclusion}


@operation(
    list[Event],
    example=[SCAN],
    headers=pages.HEADERS,
    query=pages.parameters(DEFAULT_PER_PAGE, FILTERS | INCLUDE),
)
async def list_events(request: Request[State]) -> Response:
    """Return a page of events; an owner sees their own."""
    page = pages.read_page(request, DEFAULT_PER_PAGE)
    filters = pages.read_filters(request, FILTERS)
    async with connection(request.state["pool"]) as lent:
        events = await event_repository.find_page(lent, page, filters, principal_of(request).owner)
    return pages.answer(request, page, [_shown(request, event) for event in events])


@operation(
    Event,
    status=201,
    example=SCAN,
    headers=("Location",),
    body=NEW,
    errors=(NotFound,),
    is_once=True,
)
async def create_event(request: Request[State]) -> Response:
    """Add an event of this moment."""
    body = await read_object(request)
    owner = principal_of(request).owner
    if owner is not None:
        body.setdefault("user_id", owner)
    values = NEW.read(body)
    async with transaction(request.state["pool"]) as lent:
        await _check_references(lent, values, owner)
        new = NewEvent(
            values["event_type"], values["url_id"], values["user_id"], values.get("details", {})
        )
        (event_id,) = await event_repository.insert(lent, [new])
        event = await event_repository.find(lent, event_id, None)
    assert event is not None
    return JSONResponse(_shown(request, event), 201, {"Location": f"/events/{event_id}"})


@operation(Event, example=SCAN, query={"include": _inclusion.schema})
async def read_event(request: Request[State]) -> Response:
    """Return one event."""
    event_id = path_id(request, "event_id", MISSING)
    async with connection(request.state["pool"]) as lent:
        event = await event_repository.find(lent, event_id, principal_of(request).owner)
    if event is None:
        raise NotFound(MISSING)
    return JSONResponse(_shown(request, event))


@operation(Event, example=SCAN, body=CHANGES, errors=(Forbidden,))
async def update_event(request: Request[State]) -> Response:
    """Correct an event; its time stays."""
    event_id = path_id(request, "event_id", MISSING)
    principal_of(request).require_admin()
    changes = CHANGES.read(await read_object(request))
    if not changes:
        raise Malformed(f"Nothing to change: give {', '.join(CHECKS)}")
    async with transaction(request.state["pool"]) as lent:
        if await event_repository.find(lent, event_id, None) is None:
            raise NotFound(MISSING)
        await _check_references(lent, changes, None)
        await event_repository.update(lent, event_id, changes)
        event = await event_repository.find(lent, event_id, None)
    assert event is not None
    return JSONResponse(_shown(request, event))


def _shown(request: Request[State], event: Event) -> Event:
    """Leave out who made the change unless it is asked for: clients know an event's keys."""
    if pages.read_filters(request, INCLUDE):
        return event
    return msgspec.structs.replace(event, actor=msgspec.UNSET)


async def _check_references(lent: Connection, values: dict[str, Any], owner: int | None) -> None:
    """Raise `NotFound` unless the URL and the user are there, and the owner's if there is one."""
    if "url_id" in values and await url_repository.find(lent, values["url_id"], owner) is None:
        raise NotFound("URL not found", {"url_id": "URL not found"})
    if "user_id" in values:
        is_other = owner is not None and values["user_id"] != owner
        if is_other or await user_repository.find(lent, values["user_id"]) is None:
            raise NotFound("User not found", {"user_id": "User not found"})
