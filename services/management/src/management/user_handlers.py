"""`/users`: create, read, change, delete, and load many from a CSV file."""

from starlette.requests import Request
from starlette.responses import Response

from management import fields, pages, user_import, user_repository
from management.bodies import read_object, read_upload
from management.connections import connection, transaction
from management.errors import Invalid, Malformed, NotFound
from management.link_changes import LinkChanges
from management.resources import State, path_id, principal_of
from management.user_repository import User
from shared.http import JSONResponse

DEFAULT_PER_PAGE = 20
MISSING = "User not found"
CHECKS = {"username": fields.text(fields.MAX_USERNAME), "email": fields.email}


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


async def create_user(request: Request[State]) -> Response:
    """Add a user."""
    principal_of(request).require_admin()
    body = await read_object(request)
    values = fields.check_fields(body, CHECKS, required=frozenset(CHECKS), error=Invalid)
    async with connection(request.state["pool"]) as lent:
        user = await user_repository.insert(lent, values["username"], values["email"])
    return JSONResponse(user, 201, {"Location": f"/users/{user.id}"})


async def read_user(request: Request[State]) -> Response:
    """Return one user."""
    user_id = path_id(request, "user_id", MISSING)
    principal_of(request).require_self(user_id)
    async with connection(request.state["pool"]) as lent:
        return JSONResponse(_found(await user_repository.find(lent, user_id)))


async def update_user(request: Request[State]) -> Response:
    """Change a user's name or address."""
    user_id = path_id(request, "user_id", MISSING)
    principal_of(request).require_self(user_id)
    values = fields.check_fields(await read_object(request), CHECKS)
    if not values:
        raise Malformed("Nothing to change: give username or email")
    async with connection(request.state["pool"]) as lent:
        user = await user_repository.update(
            lent, user_id, values.get("username"), values.get("email")
        )
    return JSONResponse(_found(user))


async def delete_user(request: Request[State]) -> Response:
    """Remove a user; their URLs stop redirecting."""
    user_id = path_id(request, "user_id", MISSING)
    principal_of(request).require_self(user_id)
    state = request.state
    await LinkChanges(state["pool"], state["cache"], state["bus"]).delete_user(user_id)
    return Response(status_code=204)


async def import_users(request: Request[State]) -> Response:
    """Load users from a CSV file, all or none."""
    principal_of(request).require_admin()
    users = user_import.parse(await read_upload(request, "file"))
    if users:
        async with transaction(request.state["pool"]) as lent:
            await user_repository.import_all(lent, users)
    return JSONResponse({"count": len(users), "imported": len(users)})


def _found(user: User | None) -> User:
    if user is None:
        raise NotFound(MISSING)
    return user
