"""`/urls`: create, read, change, delete."""

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from management import fields, pages, short_codes, targets, url_repository
from management.bodies import read_object
from management.connections import connection
from management.errors import Forbidden, Invalid, Malformed, NotFound
from management.link_changes import LinkChanges
from management.resources import State, path_id, principal_of
from shared.http import JSONResponse

DEFAULT_PER_PAGE = 100
MISSING = "URL not found"
FILTERS = {
    "user_id": pages.parse_id,
    "is_active": pages.parse_boolean,
    "short_code": pages.parse_text,
}


async def list_urls(request: Request[State]) -> Response:
    """Return a page of URLs; an owner sees their own."""
    page = pages.read_page(request, DEFAULT_PER_PAGE)
    filters = pages.read_filters(request, FILTERS)
    async with connection(request.state["pool"]) as lent:
        urls = await url_repository.find_page(lent, page, filters, principal_of(request).owner)
    return pages.answer(request, page, urls)


async def create_url(request: Request[State]) -> Response:
    """Add a URL with a code of its own or a new one."""
    body = await read_object(request)
    owner = principal_of(request).owner
    if owner is not None:
        body.setdefault("user_id", owner)
    values = fields.check_fields(
        body,
        {
            "user_id": fields.integer,
            "original_url": _target_check(request),
            "title": fields.title,
            "short_code": fields.optional(short_codes.custom),
        },
        required=frozenset({"user_id", "original_url"}),
        error=Invalid,
    )
    if owner is not None and values["user_id"] != owner:
        raise Forbidden("user_id must be your own")
    url = await _changes(request).create(
        values["user_id"], values["original_url"], values.get("title"), values.get("short_code")
    )
    return JSONResponse(url, 201, {"Location": f"/urls/{url.id}"})


async def read_url(request: Request[State]) -> Response:
    """Return one URL."""
    url_id = path_id(request, "url_id", MISSING)
    async with connection(request.state["pool"]) as lent:
        url = await url_repository.find(lent, url_id, principal_of(request).owner)
    if url is None:
        raise NotFound(MISSING)
    return JSONResponse(url)


async def update_url(request: Request[State]) -> Response:
    """Change a URL's title, target or state."""
    url_id = path_id(request, "url_id", MISSING)
    checks = {
        "title": fields.title,
        "is_active": fields.boolean,
        "original_url": _target_check(request),
    }
    wanted = fields.check_fields(await read_object(request), checks)
    if not wanted:
        raise Malformed("Nothing to change: give title, is_active or original_url")
    owner = principal_of(request).owner
    return JSONResponse(await _changes(request).update(url_id, owner, wanted))


async def delete_url(request: Request[State]) -> Response:
    """Put a URL in the trash; its code stays reserved."""
    url_id = path_id(request, "url_id", MISSING)
    await _changes(request).delete(url_id, principal_of(request).owner)
    return Response(status_code=204)


def _changes(request: Request[State]) -> LinkChanges:
    state = request.state
    return LinkChanges(state["pool"], state["cache"], state["bus"])


def _target_check(request: Request[State]) -> fields.Check:
    """Return the check of a target; the host we are reached by is ours, too."""
    reached_by = urlsplit(f"//{request.headers.get('host', '')}").netloc.partition(":")[0].lower()
    own_hosts = request.state["own_hosts"] | {reached_by}

    def check(value: object) -> str:
        return targets.check(value, own_hosts)

    return check
