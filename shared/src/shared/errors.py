"""The kinds of error: the domain's (they carry a status), operational (retried), and bugs."""

from collections.abc import Mapping
from types import MappingProxyType

import asyncpg
import msgspec
import redis.exceptions


class DomainError(Exception):
    """A rule of the product refused the request; carries its HTTP status."""

    status = 400
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, message: str, details: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class Unavailable(DomainError):
    """A store that the request needs is away; try again shortly."""

    status = 503
    headers = MappingProxyType({"Retry-After": "1"})

    def __init__(self, message: str = "Temporarily unavailable, please try again") -> None:
        super().__init__(message)


class ServerRefuses(redis.exceptions.ResponseError):
    """Redis is in a state in which it does not do this: a full disk, no replica, a failover."""


# asyncpg's connection trouble has several roots; see the exception tree in its documentation.
DATABASE_UNAVAILABLE: tuple[type[Exception], ...] = (
    OSError,  # includes TimeoutError and ConnectionRefusedError
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # seen after pg_terminate_backend
    asyncpg.LockNotAvailableError,
)
TRANSACTION_CONFLICT: tuple[type[Exception], ...] = (asyncpg.TransactionRollbackError,)
REDIS_UNAVAILABLE: tuple[type[Exception], ...] = (
    OSError,
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.MaxConnectionsError,
    ServerRefuses,
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,  # this and the next: a cluster's slots are being moved
    redis.exceptions.AskError,  # the base of MovedError
)
# Whatever Redis answers instead of what was asked, for callers that can do without it.
REDIS_ERRORS: tuple[type[Exception], ...] = (OSError, redis.exceptions.RedisError)
OPERATIONAL_ERRORS: tuple[type[Exception], ...] = (
    *DATABASE_UNAVAILABLE,
    *TRANSACTION_CONFLICT,
    *REDIS_UNAVAILABLE,
)

# What msgspec's decoders raise for bytes that are not what was expected: of text that is not UTF-8,
# and of lists within lists by the thousand, they pass on what Python says.
UNDECODABLE: tuple[type[Exception], ...] = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
