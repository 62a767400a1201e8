"""`/urls`: create, read, change, delete."""

from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from management import fields, pages, short_codes, targets, url_repository
from management.bodies import read_object
from management.connections import connection
from management.errors import Conflict, Forbidden, Invalid, Malformed, NotFound
from management.link_changes import LinkChanges
from management.resources import State, operation, path_id, principal_of
from management.url_repository import Url
from shared.http import JSONResponse

DEFAULT_PER_PAGE = 100
MISSING = "URL not found"
FILTERS = {
    "user_id": pages.parse_id,
    "is_active": pages.parse_boolean,
    "short_code": pages.parse_text,
}
HELLO = Url(
    id=1,
    user_id=1,
    short_code="hello",
    original_url="https://example.com/hello",
    title="Hello",
    is_active=True,
    created_at=fields.EXAMPLE_TIME,
    updated_at=fields.EXAMPLE_TIME,
)
NEW = fields.Body(
    checks={
        "user_id": fields.integer,
        "original_url": targets.anywhere,
        "title": fields.title,
        "short_code": fields.optional(short_codes.custom),
    },
    example={"user_id": 1, "original_url": "https://example.com/hello", "short_code": "hello"},
    required=frozenset({"user_id", "original_url"}),
    implied=frozenset({"user_id"}),
    error=Invalid,
)
CHANGES = fields.Body(
    checks={
        "title": fields.title,
        "is_active": fields.boolean,
        "original_url": targets.anywhere,
    },
    example={"title": "Hello", "is_active": False},
    needs_one=True,
)


@operation(
    list[Url],
    example=[HELLO],
    headers=("Link",),
    query=pages.parameters(DEFAULT_PER_PAGE, FILTERS),
)
async def list_urls(request: Request[State]) -> Response:
    """Return a page of URLs; an owner sees their own."""
    page = pages.read_page(request, DEFAULT_PER_PAGE)
    filters = pages.read_filters(request, FILTERS)
    async with connection(request.state["pool"]) as lent:
        urls = await url_repository.find_page(lent, page, filters, principal_of(request).owner)
    return pages.answer(request, page, urls)


@operation(
    Url, status=201, example=HELLO, headers=("Location",), body=NEW, errors=(Conflict, Forbidden)
)
async def create_url(request: Request[State]) -> Response:
    """Add a URL with a code of its own or a new one."""
    body = await read_object(request)
    owner = principal_of(request).owner
    if owner is not None:
        body.setdefault("user_id", owner)
    values = _not_to_us(NEW, request).read(body)
    if owner is not None and values["user_id"] != owner:
        raise Forbidden("user_id must be your own")
    url = await _changes(request).create(
        values["user_id"], values["original_url"], values.get("title"), values.get("short_code")
    )
    return JSONResponse(url, 201, {"Location": f"/urls/{url.id}"})


@operation(Url, example=HELLO)
async def read_url(request: Request[State]) -> Response:
    """Return one URL."""
    url_id = path_id(request, "url_id", MISSING)
    async with connection(request.state["pool"]) as lent:
        url = await url_repository.find(lent, url_id, principal_of(request).owner)
    if url is None:
        raise NotFound(MISSING)
    return JSONResponse(url)


@operation(Url, example=HELLO, body=CHANGES)
async def update_url(request: Request[State]) -> Response:
    """Change a URL's title, target or state."""
    url_id = path_id(request, "url_id", MISSING)
    wanted = _not_to_us(CHANGES, request).read(await read_object(request))
    if not wanted:
        raise Malformed("Nothing to change: give title, is_active or original_url")
    owner = principal_of(request).owner
    return JSONResponse(await _changes(request).update(url_id, owner, wanted))


@operation(status=204)
async def delete_url(request: Request[State]) -> Response:
    """Put a URL in the trash; its code stays reserved."""
    url_id = path_id(request, "url_id", MISSING)
    await _changes(request).delete(url_id, principal_of(request).owner)
    return Response(status_code=204)


def _changes(request: Request[State]) -> LinkChanges:
    state = request.state
    return LinkChanges(state["pool"], state["cache"], state["bus"])


def _not_to_us(body: fields.Body, request: Request[State]) -> fields.Body:
    """Refuse targets on hosts of ours, too; the host we are reached by is one of them."""
    reached_by = urlsplit(f"//{request.headers.get('host', '')}").netloc.partition(":")[0].lower()
    own_hosts = request.state["own_hosts"] | {reached_by}

    return msgspec.structs.replace(
        body, checks={**body.checks, "original_url": targets.outside(own_hosts)}
    )
