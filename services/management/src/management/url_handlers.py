"""`/urls`: create, read, change, delete."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from management import (
    conditions,
    fields,
    link_options,
    lookup_repository,
    pages,
    short_codes,
    targets,
    url_filters,
    url_list_repository,
    url_repository,
)
from management.bodies import read_object
from management.connections import connection
from management.errors import Conflict, Forbidden, Invalid, Malformed, NotFound
from management.link_changes import LinkChanges
from management.resources import State, operation, path_id, principal_of
from management.trash_changes import TrashChanges
from management.url_repository import Content, Url, VersionedUrl
from shared.http import JSONResponse

DEFAULT_PER_PAGE = 100
MISSING = "URL not found"
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
PURGE = {"purge": pages.parse_boolean}
PURGE_QUERY: Mapping[str, fields.Schema] = {
    "purge": {
        **pages.parse_boolean.schema,
        "default": False,
        "description": "Remove it for good and free its codes; also from the trash.",
    }
}
NEW = fields.Body(
    checks={
        "user_id": fields.integer,
        "original_url": targets.anywhere,
        "title": fields.title,
        "short_code": fields.optional(short_codes.custom),
        **link_options.checks(targets.anywhere, link_options.new_expires_at),
    },
    example={"user_id": 1, "original_url": "https://example.com/hello", "short_code": "hello"},
    required=frozenset({"user_id", "original_url"}),
    implied=frozenset({"user_id"}),
    error=Invalid,
)
FIND = "find_if_exists"
ALIKE = {"user_id", "original_url", "title", "short_code", FIND}
NEW_OR_FOUND = msgspec.structs.replace(
    NEW,
    checks={
        **NEW.checks,
        FIND: fields.Check(
            fields.boolean,
            {
                **fields.boolean.schema,
                "default": False,
                "description": "Answer 200 with the user's oldest link that leads to this target, "
                "if there is one that is active, has no end, password or rules, and has the code "
                "if one is given. Not together with options.",
            },
        ),
    },
)
CHANGES = fields.Body(
    checks={
        "title": fields.title,
        "is_active": fields.boolean,
        "original_url": targets.anywhere,
        "short_code": short_codes.another,
        **link_options.checks(targets.anywhere, link_options.expires_at),
    },
    example={"title": "Hello", "is_active": False},
    needs_one=True,
)


@operation(
    list[Url],
    example=[HELLO],
    headers=(*pages.HEADERS, "X-Total-Count"),
    query=pages.parameters(
        DEFAULT_PER_PAGE,
        url_filters.FILTERS | url_filters.COUNT | url_filters.INCLUDE,
        url_filters.ORDERS,
    ),
)
async def list_urls(request: Request[State]) -> Response:
    """Return a page of URLs; an owner sees their own, and archived ones if asked for.

    Filters narrow it further each.
    """
    page = pages.read_page(request, DEFAULT_PER_PAGE, url_filters.ORDERS)
    filters = pages.read_filters(request, url_filters.FILTERS)
    with_clicks = "include" in pages.read_filters(request, url_filters.INCLUDE)
    is_counted = pages.read_filters(request, url_filters.COUNT).get("count", False)
    owner = principal_of(request).owner
    headers = {}
    async with connection(request.state["pool"]) as lent:
        urls = await url_list_repository.find_page(
            lent, page, filters, owner, with_clicks=with_clicks
        )
        if is_counted:
            most = url_filters.MAX_COUNTED
            total = await url_list_repository.count(lent, filters, owner, most + 1)
            headers["X-Total-Count"] = str(total) if total <= most else f"{most}+"
    return pages.answer(request, page, urls, headers)


@operation(
    Url,
    status=201,
    other_statuses=(200,),
    example=HELLO,
    headers=("ETag", "Location"),
    body=NEW_OR_FOUND,
    errors=(Conflict, Forbidden),
    is_once=True,
)
async def create_url(request: Request[State]) -> Response:
    """Add a URL with a code of its own or a new one, or find one that is there."""
    body = await read_object(request)
    owner = principal_of(request).owner
    if owner is not None:
        body.setdefault("user_id", owner)
    values = not_to_us(NEW_OR_FOUND, request).read(body)
    if owner is not None and values["user_id"] != owner:
        raise Forbidden("user_id must be your own")
    may_be_found = values.get(FIND, False)
    if may_be_found:
        _refuse_options(values)
    values.pop(FIND, None)
    user_id, code = values.pop("user_id"), values.pop("short_code", None)
    if may_be_found:
        async with connection(request.state["pool"]) as lent:
            found = await lookup_repository.find_alike(lent, values["original_url"], user_id, code)
        if found is not None:
            return _shown(found, 200, _location(found))
    content = Content(**await _content(request, values))
    link = await _changes(request).create(user_id, code, content)
    return _shown(link, 201, _location(link))


@operation(
    Url,
    example=HELLO,
    headers=("ETag",),
    query={name: check.schema for name, check in url_filters.INCLUDE.items()},
)
async def read_url(request: Request[State]) -> Response:
    """Return one URL."""
    url_id = path_id(request, "url_id", MISSING)
    with_clicks = "include" in pages.read_filters(request, url_filters.INCLUDE)
    find = url_repository.find_with_clicks if with_clicks else url_repository.find
    async with connection(request.state["pool"]) as lent:
        link = await find(lent, url_id, principal_of(request).owner)
    if link is None:
        raise NotFound(MISSING)
    return _shown(link)


changing = operation(
    Url,
    example=HELLO,
    headers=("ETag",),
    body=CHANGES,
    is_conditional=True,
    errors=(Conflict,),
)


@changing
async def update_url(request: Request[State]) -> Response:
    """Change what is given of a URL; null takes an option back."""
    url_id = path_id(request, "url_id", MISSING)
    wanted = not_to_us(CHANGES, request).read(await read_object(request))
    if not wanted:
        raise Malformed(f"Nothing to change: give any of {', '.join(CHANGES.checks)}")
    owner = principal_of(request).owner
    code = wanted.pop("short_code", None)
    link = await _changes(request).update(
        url_id,
        owner,
        await _content(request, wanted),
        code=code,
        condition=conditions.read(request),
    )
    return _shown(link)


@changing
async def patch_url(request: Request[State]) -> Response:
    """Change what is given of a URL; the same as `PUT`."""
    return await update_url.handler(request)


@operation(status=204, query=PURGE_QUERY, is_conditional=True, errors=(Forbidden,))
async def delete_url(request: Request[State]) -> Response:
    """Put a URL in the trash; its codes stay reserved, unless an administrator purges it."""
    url_id = path_id(request, "url_id", MISSING)
    condition = conditions.read(request)
    if pages.read_filters(request, PURGE).get("purge", False):
        principal_of(request).require_admin()
        state = request.state
        trash = TrashChanges(state["pool"], state["cache"], state["bus"])
        await trash.purge(url_id, condition)
    else:
        await _changes(request).delete(url_id, principal_of(request).owner, condition)
    return Response(status_code=204)


def _refuse_options(values: Mapping[str, Any]) -> None:
    """Raise `Invalid` where a link that is found could lack what is asked for."""
    options = sorted(values.keys() - ALIKE)
    if options:
        message = f"{FIND} does not go with {', '.join(options)}"
        raise Invalid(message, {FIND: message})


def _location(link: VersionedUrl) -> dict[str, str]:
    return {"Location": f"/urls/{link.url.id}"}


def _shown(
    link: VersionedUrl, status: int = 200, headers: Mapping[str, str] = MappingProxyType({})
) -> Response:
    return JSONResponse(link.url, status, {**headers, **conditions.etag(link.record.version)})


def _changes(request: Request[State]) -> LinkChanges:
    state = request.state
    return LinkChanges(state["pool"], state["cache"], state["bus"])


async def _content(request: Request[State], values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a `Content` that `values` give: of a password, its hash."""
    content = dict(values)
    if "password" in content:
        password = content.pop("password")
        hasher = request.state["passwords"]
        content["password_hash"] = None if password is None else await hasher.hash(password)
    return content


def not_to_us(body: fields.Body, request: Request[State]) -> fields.Body:
    """Refuse targets on hosts of ours, too; the host we are reached by is one of them."""
    reached_by = urlsplit(f"//{request.headers.get('host', '')}").netloc.partition(":")[0].lower()
    target = targets.outside(request.state["own_hosts"] | {reached_by})
    checks = {
        **body.checks,
        "original_url": target,
        "expired_url": link_options.expired_url(target),
        "rules": link_options.rules(target),
    }
    return msgspec.structs.replace(body, checks=checks)
