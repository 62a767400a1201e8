"""`/tags`: which there are and how many URLs have each; rename and remove them."""

from starlette.requests import Request
from starlette.responses import Response

from management import fields, pages, tag_repository, url_filters
from management.bodies import read_object
from management.connections import connection
from management.errors import Malformed
from management.resources import State, operation, principal_of
from management.tag_changes import TagChanges, Tagged
from management.tag_repository import Tag
from shared.http import JSONResponse

DEFAULT_PER_PAGE = 100
FILTERS = {
    "cursor": fields.Check(
        url_filters.tag,
        {**url_filters.tag.schema, "description": "Show what comes after this tag."},
    ),
}
RENAMED = fields.Body(
    checks={"name": url_filters.tag}, example={"name": "summer"}, required=frozenset({"name"})
)
SAME = "name must be another name"
PATH = {"name": url_filters.tag.schema}


@operation(
    list[Tag],
    example=[Tag("spring", 12)],
    headers=pages.HEADERS,
    query={
        **{name: check.schema for name, check in FILTERS.items()},
        "per_page": pages.per_page(DEFAULT_PER_PAGE),
    },
)
async def list_tags(request: Request[State]) -> Response:
    """Return a page of the tags in use, in alphabetical order; an owner sees their own."""
    limit = pages.read_per_page(request, DEFAULT_PER_PAGE)
    filters = pages.read_filters(request, FILTERS)
    async with connection(request.state["pool"]) as lent:
        tags = await tag_repository.find_page(
            lent, filters.get("cursor", ""), limit, principal_of(request).owner
        )
    onward = pages.onward(request, tags[limit - 1].name, limit) if len(tags) > limit else {}
    return JSONResponse(tags[:limit], headers=onward)


@operation(Tagged, example=Tagged(12, 0), body=RENAMED, path=PATH)
async def rename_tag(request: Request[State]) -> Response:
    """Rename a tag, or join it with one that is there, on up to 1,000 URLs.

    `left` tells how many have it still: ask again. An owner changes their own URLs.
    """
    name = RENAMED.read(await read_object(request))["name"]
    tag, owner = request.path_params["name"], principal_of(request).owner
    if name == tag:  # all of them would be left each time
        raise Malformed(SAME, {"name": SAME})
    return JSONResponse(await _changes(request).rename(tag, name, owner))


@operation(Tagged, example=Tagged(12, 0), path=PATH)
async def delete_tag(request: Request[State]) -> Response:
    """Take a tag off up to 1,000 URLs; `left` tells how many have it still: ask again."""
    tag, owner = request.path_params["name"], principal_of(request).owner
    return JSONResponse(await _changes(request).remove(tag, owner))


def _changes(request: Request[State]) -> TagChanges:
    state = request.state
    return TagChanges(state["pool"], state["cache"], state["bus"])
