"""`/users/{id}/keys`: make, list and revoke API keys."""

import asyncpg
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from management import fields, key_repository, user_repository
from management.auth import new_secret
from management.bodies import read_object
from management.connections import connection
from management.errors import Forbidden, Invalid, NotFound
from management.key_repository import Key
from management.resources import State, operation, path_id, principal_of
from shared.http import JSONResponse

NEW = fields.Body(
    checks={
        "name": fields.text(fields.MAX_KEY_NAME),
        "is_admin": fields.boolean,
        "expires_at": fields.optional(fields.future_time),
    },
    example={"name": "laptop", "expires_at": None},
    required=frozenset({"name"}),
    error=Invalid,
)


class NewKey(Key, frozen=True):
    """A key as it is shown once, when it is made."""

    key: str


LAPTOP = Key(
    id=1,
    name="laptop",
    prefix="0a1b2c3d4e5f",
    is_admin=False,
    created_at=fields.EXAMPLE_TIME,
    expires_at=None,
    last_used_at=None,
)
NEW_LAPTOP = NewKey(**msgspec.structs.asdict(LAPTOP), key="sw_0a1b2c3d4e5f_…")


@operation(list[Key], example=[LAPTOP])
async def list_keys(request: Request[State]) -> Response:
    """Return a user's keys, without their secrets."""
    user_id = _user_id(request)
    async with connection(request.state["pool"]) as lent:
        if await user_repository.find(lent, user_id) is None:
            raise NotFound("User not found")
        return JSONResponse(await key_repository.find_of_user(lent, user_id))


@operation(NewKey, status=201, example=NEW_LAPTOP, body=NEW, errors=(Forbidden,))
async def create_key(request: Request[State]) -> Response:
    """Make a key; the answer shows it, once."""
    user_id = _user_id(request)
    values = NEW.read(await read_object(request))
    is_admin = values.get("is_admin", False)
    if is_admin:
        principal_of(request).require_admin()
    secret = new_secret()
    async with connection(request.state["pool"]) as lent:
        try:
            key = await key_repository.insert(
                lent,
                user_id=user_id,
                name=values["name"],
                prefix=secret.prefix,
                secret_hash=secret.secret_hash,
                is_admin=is_admin,
                expires_at=values.get("expires_at"),
            )
        except asyncpg.ForeignKeyViolationError:
            raise NotFound("User not found") from None
    return JSONResponse(NewKey(**msgspec.structs.asdict(key), key=secret.key), 201)


@operation(status=204)
async def revoke_key(request: Request[State]) -> Response:
    """Make a key useless from now on."""
    user_id = _user_id(request)
    key_id = path_id(request, "key_id", "Key not found")
    async with connection(request.state["pool"]) as lent:
        if not await key_repository.revoke(lent, key_id, user_id):
            raise NotFound("Key not found")
    return Response(status_code=204)


def _user_id(request: Request[State]) -> int:
    user_id = path_id(request, "user_id", "User not found")
    principal_of(request).require_self(user_id)
    return user_id
