"""What is in the trash, back from it, and what happened to a URL."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from management import conditions, event_repository, fields, pages, url_repository
from management.connections import connection
from management.errors import Conflict, NotFound
from management.event_repository import Change, EventActor
from management.resources import State, operation, path_id, principal_of
from management.trash_changes import TrashChanges
from management.url_handlers import HELLO, MISSING
from management.url_repository import Url
from shared.http import JSONResponse

DEFAULT_PER_PAGE = 100
RENAMED = Change(
    id=7,
    event_type="updated",
    timestamp=fields.EXAMPLE_TIME,
    details={"title": "Hello"},
    actor=EventActor(user_id=1, key_id=3),
)


@operation(
    list[Url],
    example=[msgspec.structs.replace(HELLO, deleted_at=fields.EXAMPLE_TIME)],
    headers=pages.HEADERS,
    query=pages.parameters(DEFAULT_PER_PAGE),
)
async def list_trash(request: Request[State]) -> Response:
    """Return a page of deleted URLs; an owner sees their own."""
    page = pages.read_page(request, DEFAULT_PER_PAGE)
    async with connection(request.state["pool"]) as lent:
        urls = await url_repository.find_trash_page(lent, page, principal_of(request).owner)
    return pages.answer(request, page, urls)


@operation(Url, example=HELLO, headers=("ETag",), errors=(Conflict,))
async def restore_url(request: Request[State]) -> Response:
    """Take a URL out of the trash: it redirects at once."""
    url_id = path_id(request, "url_id", MISSING)
    state = request.state
    trash = TrashChanges(state["pool"], state["cache"], state["bus"])
    link = await trash.restore(url_id, principal_of(request).owner)
    return JSONResponse(link.url, headers=conditions.etag(link.record.version))


@operation(
    list[Change],
    example=[RENAMED],
    headers=pages.HEADERS,
    query=pages.parameters(DEFAULT_PER_PAGE),
)
async def list_history(request: Request[State]) -> Response:
    """Return a page of a URL's changes, the first ones first; also of one in the trash."""
    url_id = path_id(request, "url_id", MISSING)
    page = pages.read_page(request, DEFAULT_PER_PAGE)
    async with connection(request.state["pool"]) as lent:
        if not await url_repository.exists(lent, url_id, principal_of(request).owner):
            raise NotFound(MISSING)
        changes = await event_repository.find_changes(lent, page, url_id)
    return pages.answer(request, page, changes)
