"""From credentials to a principal: who asks, and what they may."""

import hashlib
import hmac
import secrets
from typing import Literal

import msgspec
from starlette.datastructures import Headers

from management import key_repository
from management.connections import connection
from management.errors import Forbidden, NotFound, Unauthorized
from shared.postgres import Pool

PREFIX_BYTES = 6
SECRET_BYTES = 32  # so much entropy needs no slow hash
KEY_MARK = "sw"
MAX_KEY_LENGTH = 128


class Principal(msgspec.Struct, frozen=True):
    """Who asks. An administrator need not be a user."""

    user_id: int | None
    is_admin: bool

    @property
    def owner(self) -> int | None:
        """Return whose things may be seen: None for everybody's."""
        return None if self.is_admin else self.user_id

    def require_admin(self) -> None:
        """Raise `Forbidden` unless this is an administrator."""
        if not self.is_admin:
            raise Forbidden("This needs an administrator's key")

    def require_self(self, user_id: int) -> None:
        """Raise `NotFound` where an owner asks for another user."""
        if self.owner is not None and self.owner != user_id:
            raise NotFound("User not found")


EVERYBODY = Principal(user_id=None, is_admin=True)


class NewSecret(msgspec.Struct, frozen=True):
    """A key to be shown once, and what of it is stored."""

    key: str
    prefix: str
    secret_hash: bytes


def new_secret() -> NewSecret:
    """Return a new key."""
    prefix = secrets.token_hex(PREFIX_BYTES)
    key = f"{KEY_MARK}_{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"
    return NewSecret(key, prefix, _hash(key))


class Guard:
    """Checks the credentials of requests."""

    def __init__(self, pool: Pool, mode: Literal["open", "required"]) -> None:
        self._pool = pool
        self._mode = mode

    async def principal(self, headers: Headers) -> Principal:
        """Return who asks; raises `Unauthorized`."""
        if self._mode == "open":
            return EVERYBODY
        key = _presented(headers)
        prefix = key.split("_")[1] if key.count("_") >= 2 else ""
        if not prefix.isalnum() or len(key) > MAX_KEY_LENGTH:
            raise Unauthorized("This key is not valid")
        async with connection(self._pool) as lent:
            credential = await key_repository.find_credential(lent, prefix)
        if credential is None or not hmac.compare_digest(credential.secret_hash, _hash(key)):
            raise Unauthorized("This key is not valid")
        return Principal(credential.user_id, credential.is_admin)


def _presented(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    if not key:
        raise Unauthorized("This needs a key: Authorization: Bearer <key>")
    return key


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
