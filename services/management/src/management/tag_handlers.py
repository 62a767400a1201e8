"""`/tags`: which there are, and how many URLs have each."""

from starlette.requests import Request
from starlette.responses import Response

from management import fields, pages, tag_repository, url_filters
from management.connections import connection
from management.resources import State, operation, principal_of
from management.tag_repository import Tag
from shared.http import JSONResponse

DEFAULT_PER_PAGE = 100
FILTERS = {
    "cursor": fields.Check(
        url_filters.tag,
        {**url_filters.tag.schema, "description": "Show what comes after this tag."},
    ),
}


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
