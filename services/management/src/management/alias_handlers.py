"""`/urls/{id}/aliases`: further codes of a URL."""

from starlette.requests import Request
from starlette.responses import Response

from management import alias_repository, fields, short_codes, url_repository
from management.alias_changes import AliasChanges
from management.alias_repository import Alias
from management.bodies import read_object
from management.connections import connection
from management.errors import Conflict, Invalid, NotFound
from management.resources import State, operation, path_id, principal_of
from shared.http import JSONResponse

MISSING = "URL not found"
NEW = fields.Body(
    checks={"short_code": short_codes.custom},
    example={"short_code": "hello-too"},
    required=frozenset({"short_code"}),
    error=Invalid,
)
HELLO_TOO = Alias("hello-too", fields.EXAMPLE_TIME)


@operation(list[Alias], example=[HELLO_TOO])
async def list_aliases(request: Request[State]) -> Response:
    """Return a URL's aliases, the oldest first."""
    url_id = path_id(request, "url_id", MISSING)
    async with connection(request.state["pool"]) as lent:
        if await url_repository.find(lent, url_id, principal_of(request).owner) is None:
            raise NotFound(MISSING)
        return JSONResponse(await alias_repository.find_of_url(lent, url_id))


@operation(
    Alias,
    status=201,
    example=HELLO_TOO,
    headers=("Location",),
    body=NEW,
    is_once=True,
    errors=(Conflict,),
)
async def create_alias(request: Request[State]) -> Response:
    """Give a URL one more code: it leads where the URL's own does."""
    url_id = path_id(request, "url_id", MISSING)
    values = NEW.read(await read_object(request))
    alias = await _changes(request).add(url_id, principal_of(request).owner, values["short_code"])
    location = f"/urls/{url_id}/aliases/{alias.short_code}"
    return JSONResponse(alias, 201, {"Location": location})


@operation(status=204, path={"alias": short_codes.custom.schema})
async def delete_alias(request: Request[State]) -> Response:
    """Take a code from a URL: it answers 404 at once, and is free for others."""
    url_id = path_id(request, "url_id", MISSING)
    code = request.path_params["alias"]
    await _changes(request).remove(url_id, principal_of(request).owner, code)
    return Response(status_code=204)


def _changes(request: Request[State]) -> AliasChanges:
    state = request.state
    return AliasChanges(state["pool"], state["cache"], state["bus"])
