"""`/banned-hosts` and `/reserved-codes`: what administrators forbid."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from management import (
    audit_repository,
    banned_host_repository,
    fields,
    pages,
    reserved_code_repository,
    short_codes,
    targets,
    url_repository,
)
from management.audit_repository import Action
from management.banned_host_repository import BannedHost
from management.connections import connection, transaction
from management.errors import Forbidden, Malformed, NotFound
from management.reserved_code_repository import ReservedCode
from management.resources import State, operation, principal_of
from management.takedown import Takedown
from shared.http import JSONResponse
from shared.postgres import Connection

DEFAULT_PER_PAGE = 100
TAKEDOWN = {
    "takedown": fields.Check(
        pages.parse_boolean,
        {
            **pages.parse_boolean.schema,
            "default": False,
            "description": "Switch off the links that lead there now; else they go on.",
        },
    )
}
HOST = {"host": targets.HOST_SCHEMA}
CODE = {"code": short_codes.custom.schema}


class Banned(BannedHost, frozen=True):
    """A host that was banned; `links_stopped` is how many links were switched off for it."""

    links_stopped: int


EVIL = BannedHost(1, "evil.example", fields.EXAMPLE_TIME)
OFFERS = ReservedCode(1, "offers", fields.EXAMPLE_TIME)


@operation(
    list[BannedHost],
    example=[EVIL],
    headers=pages.HEADERS,
    query=pages.parameters(DEFAULT_PER_PAGE),
    errors=(Forbidden,),
)
async def list_banned_hosts(request: Request[State]) -> Response:
    """Return a page of the hosts that no link may lead to."""
    principal_of(request).require_admin()
    page = pages.read_page(request, DEFAULT_PER_PAGE)
    async with connection(request.state["pool"]) as lent:
        return pages.answer(request, page, await banned_host_repository.find_page(lent, page))


@operation(
    Banned,
    example=Banned(**msgspec.structs.asdict(EVIL), links_stopped=0),
    query={name: check.schema for name, check in TAKEDOWN.items()},
    path=HOST,
    errors=(Forbidden,),
)
async def ban_host(request: Request[State]) -> Response:
    """Let no link lead to a host or its subdomains, from now on; repeating it is harmless."""
    principal_of(request).require_admin()
    try:
        host = targets.host(request.path_params["host"])
    except ValueError as problem:
        raise Malformed(f"host {problem}", {"host": f"host {problem}"}) from None
    is_takedown = pages.read_filters(request, TAKEDOWN).get("takedown", False)
    state = request.state
    async with transaction(state["pool"]) as lent:
        # Before it nobody is on the way with a link; after it, who writes one sees the ban.
        await url_repository.keep_writers_out(lent)
        banned = await banned_host_repository.insert(lent, host)
        await _note(lent, "host.banned", banned.id, {"host": host, "takedown": is_takedown})
    takedown = Takedown(state["pool"], state["cache"], state["bus"])
    stopped = await takedown.of_host(host) if is_takedown else 0
    return JSONResponse(Banned(**msgspec.structs.asdict(banned), links_stopped=stopped))


@operation(status=204, path=HOST, errors=(Forbidden,))
async def unban_host(request: Request[State]) -> Response:
    """Lift a ban; links that were switched off for it stay off."""
    principal_of(request).require_admin()
    host = request.path_params["host"].lower()
    async with transaction(request.state["pool"]) as lent:
        ban_id = await banned_host_repository.delete(lent, host)
        if ban_id is None:
            raise NotFound("This host is not banned")
        await _note(lent, "host.unbanned", ban_id, {"host": host})
    return Response(status_code=204)


@operation(
    list[ReservedCode],
    example=[OFFERS],
    headers=pages.HEADERS,
    query=pages.parameters(DEFAULT_PER_PAGE),
    errors=(Forbidden,),
)
async def list_reserved_codes(request: Request[State]) -> Response:
    """Return a page of the codes that no new link may have, beside our own paths."""
    principal_of(request).require_admin()
    page = pages.read_page(request, DEFAULT_PER_PAGE)
    async with connection(request.state["pool"]) as lent:
        return pages.answer(request, page, await reserved_code_repository.find_page(lent, page))


@operation(ReservedCode, example=OFFERS, path=CODE, errors=(Forbidden, Malformed))
async def reserve_code(request: Request[State]) -> Response:
    """Let no new link have a code, in whatever case; a link that has it keeps it."""
    principal_of(request).require_admin()
    try:
        code = short_codes.well_formed(request.path_params["code"])
    except ValueError as problem:
        raise Malformed(f"code {problem}", {"code": f"code {problem}"}) from None
    async with transaction(request.state["pool"]) as lent:
        reserved = await reserved_code_repository.insert(lent, code)
        await _note(lent, "code.reserved", reserved.id, {"short_code": reserved.short_code})
    return JSONResponse(reserved)


@operation(status=204, path=CODE, errors=(Forbidden,))
async def free_code(request: Request[State]) -> Response:
    """Let links have a code again."""
    principal_of(request).require_admin()
    code = request.path_params["code"].lower()
    async with transaction(request.state["pool"]) as lent:
        reserved_id = await reserved_code_repository.delete(lent, code)
        if reserved_id is None:
            raise NotFound("This code is not reserved")
        await _note(lent, "code.freed", reserved_id, {"short_code": code})
    return Response(status_code=204)


async def _note(
    lent: Connection, action: Action, subject_id: int, details: Mapping[str, Any]
) -> None:
    await audit_repository.insert(
        lent, action, user_id=None, subject_id=subject_id, details=details
    )
