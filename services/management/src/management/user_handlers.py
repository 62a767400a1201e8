"""`/users`: create, read, change, delete, and load many from a CSV file."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from management import audit_repository, fields, pages, user_import, user_repository
from management.bodies import Upload, read_object, read_upload
from management.connections import connection, transaction
from management.errors import Conflict, Forbidden, Invalid, Malformed, NotFound
from management.link_changes import LinkChanges
from management.resources import State, operation, path_id, principal_of
from management.user_repository import User
from shared.http import JSONResponse

DEFAULT_PER_PAGE = 20
MISSING = "User not found"
CHECKS = {"username": fields.text(fields.MAX_USERNAME), "email": fields.email}
ADA = User(1, "ada", "ada@example.com", fields.EXAMPLE_TIME)
NEW = fields.Body(
    checks=CHECKS,
    example={"username": "ada", "email": "ada@example.com"},
    required=frozenset(CHECKS),
    error=Invalid,
)
CHANGES = fields.Body(checks=CHECKS, example={"email": "ada@example.org"}, needs_one=True)
CSV = Upload(
    "file",
    "text/csv",
    f"CSV in UTF-8 with the header `{','.join(user_import.COLUMNS)}`, times in UTC; "
    f"at most {user_import.MAX_ROWS} rows.",
    "id,username,email,created_at\n1,ada,ada@example.com,2026-04-03 12:00:00\n",
    Invalid,
)


class Imported(msgspec.Struct, frozen=True):
    """How many rows a file had, and how many of them are there now."""

    count: int
    imported: int


@operation(
    list[User], example=[ADA], headers=pages.HEADERS, query=pages.parameters(DEFAULT_PER_PAGE)
)
async def list_users(request: Request[State]) -> Response:
    """Return a page of users; an owner sees only themselves."""
    page = pages.read_page(request, DEFAULT_PER_PAGE)
    owner = principal_of(request).owner
    async with connection(request.state["pool"]) as lent:
        if owner is None:
            users = await user_repository.find_page(lent, page)
        else:
            user = await user_repository.find(lent, owner)
            users = [user] if user and user.id > page.after and not page.offset else []
    return pages.answer(request, page, users)


@operation(
    User,
    status=201,
    example=ADA,
    headers=("Location",),
    body=NEW,
    errors=(Conflict, Forbidden),
    is_once=True,
)
async def create_user(request: Request[State]) -> Response:
    """Add a user."""
    principal_of(request).require_admin()
    values = NEW.read(await read_object(request))
    async with transaction(request.state["pool"]) as lent:
        user = await user_repository.insert(lent, values["username"], values["email"])
        await audit_repository.insert(lent, "user.created", user_id=user.id, subject_id=user.id)
    return JSONResponse(user, 201, {"Location": f"/users/{user.id}"})


@operation(User, example=ADA)
async def read_user(request: Request[State]) -> Response:
    """Return one user."""
    user_id = path_id(request, "user_id", MISSING)
    principal_of(request).require_self(user_id)
    async with connection(request.state["pool"]) as lent:
        return JSONResponse(_found(await user_repository.find(lent, user_id)))


@operation(User, example=ADA, body=CHANGES, errors=(Conflict,))
async def update_user(request: Request[State]) -> Response:
    """Change a user's name or address."""
    user_id = path_id(request, "user_id", MISSING)
    principal_of(request).require_self(user_id)
    values = CHANGES.read(await read_object(request))
    if not values:
        raise Malformed("Nothing to change: give username or email")
    async with transaction(request.state["pool"]) as lent:
        user = _found(
            await user_repository.update(lent, user_id, values.get("username"), values.get("email"))
        )
        facts = {"changed": sorted(values)}
        await audit_repository.insert(
            lent, "user.updated", user_id=user_id, subject_id=user_id, details=facts
        )
    return JSONResponse(user)


HEIR = {
    "transfer_to": fields.Check(
        pages.parse_id,
        {
            **pages.parse_id.schema,
            "description": "Who gets the URLs, which go on redirecting; for administrators.",
        },
    )
}


@operation(
    status=204,
    query={name: check.schema for name, check in HEIR.items()},
    errors=(Forbidden,),
)
async def delete_user(request: Request[State]) -> Response:
    """Remove a user; their URLs stop redirecting, or become another user's."""
    user_id = path_id(request, "user_id", MISSING)
    principal_of(request).require_self(user_id)
    heir = pages.read_filters(request, HEIR).get("transfer_to")
    if heir is not None:
        principal_of(request).require_admin()
    state = request.state
    changes = LinkChanges(state["pool"], state["cache"], state["bus"])
    await changes.delete_user(user_id, heir)
    return Response(status_code=204)


@operation(Imported, example=Imported(1, 1), body=CSV, errors=(Forbidden,))
async def import_users(request: Request[State]) -> Response:
    """Load users from a CSV file, all or none."""
    principal_of(request).require_admin()
    users = user_import.parse(await read_upload(request, CSV.field))
    if users:
        async with transaction(request.state["pool"]) as lent:
            await user_repository.import_all(lent, users)
            facts = {"rows": len(users)}
            await audit_repository.insert(lent, "users.imported", user_id=None, details=facts)
    return JSONResponse(Imported(len(users), len(users)))


def _found(user: User | None) -> User:
    if user is None:
        raise NotFound(MISSING)
    return user
