"""`/users/{id}/keys`: make, list and revoke API keys."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from management import audit_repository, fields, key_repository, scopes, user_repository
from management.auth import Principal, new_secret
from management.bodies import read_object
from management.connections import connection, transaction
from management.errors import Conflict, Forbidden, Invalid, NotFound
from management.key_repository import Key, NewKey
from management.resources import State, operation, path_id, principal_of
from management.scopes import Scope
from shared.http import JSONResponse

NEW = fields.Body(
    checks={
        "name": fields.text(fields.MAX_KEY_NAME),
        "scope": scopes.scope,
        "is_admin": fields.Check(
            fields.boolean,
            {**fields.boolean.schema, "deprecated": True, "description": "The scope `admin`."},
        ),
        "expires_at": fields.optional(fields.future_time),
    },
    example={"name": "laptop", "scope": "read", "expires_at": None},
    required=frozenset({"name"}),
    error=Invalid,
)


class ShownKey(Key, frozen=True):
    """A key as it is shown once, when it is made."""

    key: str


LAPTOP = Key(
    id=1,
    name="laptop",
    prefix="0a1b2c3d4e5f",
    scope="read",
    is_admin=False,
    created_at=fields.EXAMPLE_TIME,
    expires_at=None,
    last_used_at=None,
)
NEW_LAPTOP = ShownKey(**msgspec.structs.asdict(LAPTOP), key="sw_0a1b2c3d4e5f_…")


@operation(list[Key], example=[LAPTOP])
async def list_keys(request: Request[State]) -> Response:
    """Return a user's keys, without their secrets.

    `last_used_at` is right to a minute. Revoked keys are not shown, expired ones are.
    """
    user_id = _user_id(request)
    async with connection(request.state["pool"]) as lent:
        if await user_repository.find(lent, user_id) is None:
            raise NotFound("User not found")
        return JSONResponse(await key_repository.find_of_user(lent, user_id))


@operation(ShownKey, status=201, example=NEW_LAPTOP, body=NEW, errors=(Conflict, Forbidden))
async def create_key(request: Request[State]) -> Response:
    """Make a key; the answer shows it, once.

    It may do no more than the key that asks for it, and lives no longer.
    """
    user_id = _user_id(request)
    values = NEW.read(await read_object(request))
    principal = principal_of(request)
    scope = _scope(values)
    principal.require(scope)
    expires_at = _expiry(values, principal)
    secret = new_secret()
    async with transaction(request.state["pool"]) as lent:
        try:
            key = await key_repository.insert(
                lent,
                NewKey(
                    user_id=user_id,
                    name=values["name"],
                    prefix=secret.prefix,
                    secret_hash=secret.secret_hash,
                    scope=scope,
                    expires_at=expires_at,
                ),
            )
        except asyncpg.ForeignKeyViolationError:
            raise NotFound("User not found") from None
        facts = {"name": key.name, "scope": key.scope}
        await audit_repository.insert(
            lent, "key.created", user_id=user_id, subject_id=key.id, details=facts
        )
    return JSONResponse(ShownKey(**msgspec.structs.asdict(key), key=secret.key), 201)


@operation(status=204)
async def revoke_key(request: Request[State]) -> Response:
    """Make a key useless from now on."""
    user_id = _user_id(request)
    key_id = path_id(request, "key_id", "Key not found")
    async with transaction(request.state["pool"]) as lent:
        if not await key_repository.revoke(lent, key_id, user_id):
            raise NotFound("Key not found")
        await audit_repository.insert(lent, "key.revoked", user_id=user_id, subject_id=key_id)
    return Response(status_code=204)


def _user_id(request: Request[State]) -> int:
    user_id = path_id(request, "user_id", "User not found")
    principal_of(request).require_self(user_id)
    return user_id


def _scope(values: Mapping[str, Any]) -> Scope:
    """Return the scope that is asked for; raises `Invalid` where the old `is_admin` differs."""
    is_admin = values.get("is_admin")
    scope: Scope = values.get("scope", "admin" if is_admin else "write")
    if is_admin is not None and is_admin != (scope == "admin"):
        message = "is_admin contradicts scope: leave it out"
        raise Invalid(message, {"is_admin": message})
    return scope


def _expiry(values: Mapping[str, Any], principal: Principal) -> datetime | None:
    """Return when the key ends: with the one that asks where nothing is given.

    Raises `Forbidden` for a later time: a key that was to end could outlive itself in others.
    """
    wanted: datetime | None = values.get("expires_at")
    limit = principal.key_expires_at
    if limit is None:
        return wanted
    if wanted is not None and wanted > limit:
        raise Forbidden("A key can't make one that outlives it: choose an earlier expires_at")
    return wanted or limit
