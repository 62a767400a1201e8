"""From credentials to a principal: who asks, and what they may."""

import hashlib
import hmac
import secrets
from datetime import datetime
from typing import Literal

import msgspec
from starlette.datastructures import Headers

from management import key_repository
from management.connections import connection
from management.errors import Forbidden, NotFound, Unauthorized, WrongKey
from management.key_uses import KeyUses
from management.scopes import Scope, includes
from shared.postgres import Pool

PREFIX_BYTES = 6
SECRET_BYTES = 32  # so much entropy needs no slow hash
KEY_MARK = "sw"
MAX_KEY_LENGTH = 128
MAX_WORKED = 10_000  # keys that a process remembers to have worked
READING = frozenset({"GET", "HEAD"})


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks. An administrator need not be a user; without a key there is no `key_id`."""

    user_id: int | None
    scope: Scope
    key_id: int | None = None
    key_expires_at: datetime | None = None

    @property
    def owner(self) -> int | None:
        """Return whose things may be seen: None for everybody's."""
        return None if self.scope == "admin" else self.user_id

    def require(self, scope: Scope) -> None:
        """Raise `Forbidden` unless `scope` is included in this one's."""
        if not includes(self.scope, scope):
            raise Forbidden(f"This needs a key with the scope {scope}; yours has {self.scope}")

    def require_method(self, method: str) -> None:
        """Raise `Forbidden` where a key that is for reading asks for a change."""
        if method not in READING:
            self.require("write")

    def require_admin(self) -> None:
        """Raise `Forbidden` unless this is an administrator."""
        if self.scope != "admin":
            raise Forbidden("This needs an administrator's key")

    def require_self(self, user_id: int) -> None:
        """Raise `NotFound` where an owner asks for another user."""
        if self.owner is not None and self.owner != user_id:
            raise NotFound("User not found")


EVERYBODY = Principal(user_id=None, scope="admin")


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
    """Checks the credentials of requests, each against the table: a revoked key ends at once."""

    def __init__(self, pool: Pool, mode: Literal["open", "required"], uses: KeyUses) -> None:
        self._pool = pool
        self.is_open = mode == "open"
        self._uses = uses
        self._worked: dict[bytes, None] = {}  # hashes of keys, in the order of their first use

    def has_worked(self, headers: Headers) -> bool:
        """Tell whether this process knows the key, or none is given: not whether it is valid."""
        key = _given(headers)
        return not key or _hash(key) in self._worked

    async def principal(self, headers: Headers) -> Principal:
        """Return who asks; raises `Unauthorized`."""
        if self.is_open:
            return EVERYBODY
        key = _given(headers)
        if not key:
            raise Unauthorized("This needs a key: Authorization: Bearer <key>")
        prefix = key.split("_")[1] if key.count("_") >= 2 else ""
        if not prefix.isalnum() or len(key) > MAX_KEY_LENGTH:
            raise WrongKey("This key is not valid")
        async with connection(self._pool) as lent:
            credential = await key_repository.find_credential(lent, prefix)
        presented = _hash(key)
        if credential is None or not hmac.compare_digest(credential.secret_hash, presented):
            raise WrongKey("This key is not valid")
        self._uses.note(credential.id)
        self._remember(presented)
        return Principal(
            user_id=credential.user_id,
            scope=credential.scope,
            key_id=credential.id,
            key_expires_at=credential.expires_at,
        )

    def _remember(self, key_hash: bytes) -> None:
        if key_hash not in self._worked and len(self._worked) >= MAX_WORKED:
            del self._worked[next(iter(self._worked))]
        self._worked[key_hash] = None


def _given(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
