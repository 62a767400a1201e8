"""What the API refuses, each with its status."""

from collections.abc import Mapping
from types import MappingProxyType

from shared.errors import DomainError, Unavailable


class Malformed(DomainError):
    """The request can't be understood, or a parameter is wrong."""

    status = 400


class Invalid(DomainError):
    """The body is an object, but its fields are wrong."""

    status = 422


class Unauthorized(DomainError):
    """No key, or one that is not valid."""

    status = 401
    headers = MappingProxyType({"WWW-Authenticate": 'Bearer realm="shortwire"'})


class WrongKey(Unauthorized):
    """A key was given, and it is not valid."""


class TooManyRequests(DomainError):
    """More requests than a key or an address is allowed; or than the gateway lets through."""

    status = 429
    headers: Mapping[str, str] = Unavailable.headers

    def __init__(self, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.headers = headers


class Forbidden(DomainError):
    """The key is valid and not enough."""

    status = 403


class NotFound(DomainError):
    """There is no such thing, or it is another owner's."""

    status = 404


class Conflict(DomainError):
    """Something else has this name already."""

    status = 409


class PreconditionFailed(DomainError):
    """The URL is not what `If-Match` names any more."""

    status = 412


class TooLarge(DomainError):
    """The body is longer than its limit."""

    status = 413
