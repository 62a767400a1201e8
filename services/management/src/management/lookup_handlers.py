"""`/urls/lookup`: which URL has a code or leads to a target."""

from starlette.requests import Request
from starlette.responses import Response

from management import conditions, fields, lookup_repository, pages, targets
from management.connections import connection
from management.errors import Malformed, NotFound
from management.resources import State, operation, principal_of
from management.url_handlers import HELLO, MISSING
from management.url_repository import Url
from shared.http import JSONResponse

QUERY = {
    "short_code": fields.Check(
        pages.parse_text,
        {**pages.parse_text.schema, "description": "Its code or one of its aliases, exactly."},
    ),
    "original_url": fields.Check(
        targets.anywhere,
        {
            **targets.anywhere.schema,
            "description": "Its target, exactly. Of several URLs of an owner the oldest is shown.",
        },
    ),
}
ONE_OF = "Give either short_code or original_url"


@operation(
    Url,
    example=HELLO,
    headers=("ETag",),
    query={name: check.schema for name, check in QUERY.items()},
    errors=(NotFound,),
)
async def look_up_url(request: Request[State]) -> Response:
    """Return the URL with this code or this target; give one of the two.

    An owner finds their own, archived ones too, and nothing in the trash.
    """
    wanted = pages.read_filters(request, QUERY)
    if len(wanted) != 1:
        raise Malformed(ONE_OF)
    owner = principal_of(request).owner
    async with connection(request.state["pool"]) as lent:
        if "short_code" in wanted:
            link = await lookup_repository.find_by_code(lent, wanted["short_code"], owner)
        else:
            link = await lookup_repository.find_by_target(lent, wanted["original_url"], owner)
    if link is None:
        raise NotFound(MISSING)
    return JSONResponse(link.url, headers=conditions.etag(link.record.version))
