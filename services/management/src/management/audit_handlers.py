"""`/admin/audit`, `/users/{id}/audit`: who changed users, keys and webhooks."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from management import audit_repository, fields, pages
from management.audit_repository import AuditRecord
from management.connections import connection
from management.errors import Forbidden
from management.resources import State, operation, path_id, principal_of

DEFAULT_PER_PAGE = 100
OWN_FILTERS = {"action": pages.parse_text}
FILTERS = {"user_id": pages.parse_id, **OWN_FILTERS}
REVOKED = AuditRecord(
    id=1,
    at=fields.EXAMPLE_TIME,
    action="key.revoked",
    user_id=1,
    subject_id=7,
    actor_user_id=1,
    actor_key_id=3,
    request_id="5f0c1d2e3a4b5c6d0000000000000001",
    details={},
)


@operation(
    list[AuditRecord],
    example=[REVOKED],
    headers=pages.HEADERS,
    query=pages.parameters(DEFAULT_PER_PAGE, FILTERS),
    errors=(Forbidden,),
)
async def list_audit_records(request: Request[State]) -> Response:
    """Return a page of who changed anybody's user, keys and webhooks.

    Who changed a URL stands in its events: `GET /events?include=actor`.
    """
    principal_of(request).require_admin()
    return await _page(request, pages.read_filters(request, FILTERS))


@operation(
    list[AuditRecord],
    example=[REVOKED],
    headers=pages.HEADERS,
    query=pages.parameters(DEFAULT_PER_PAGE, OWN_FILTERS),
)
async def list_audit_records_of_user(request: Request[State]) -> Response:
    """Return a page of who changed this user, their keys and their webhooks.

    It stays when the user is removed, for an administrator.
    """
    user_id = path_id(request, "user_id", "User not found")
    principal_of(request).require_self(user_id)
    filters = pages.read_filters(request, OWN_FILTERS)
    return await _page(request, filters | {"user_id": user_id})


async def _page(request: Request[State], filters: Mapping[str, Any]) -> Response:
    page = pages.read_page(request, DEFAULT_PER_PAGE)
    async with connection(request.state["pool"]) as lent:
        records = await audit_repository.find_page(lent, page, filters)
    return pages.answer(request, page, records)
