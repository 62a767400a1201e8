"""Checks the passwords of links: slowly, a few at a time, and not too often for one address."""

import asyncio
import logging

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from redis.asyncio import Redis

from shared.errors import REDIS_ERRORS, DomainError, Unavailable

log = logging.getLogger(__name__)

MAX_PASSWORD_CHARACTERS = 200
MAX_AT_ONCE = 2  # each costs a core some 50 ms
MAX_WAITING = 20
TRIES = 10  # wrong ones, of one address at one link, within TRIES_SECONDS
TRIES_SECONDS = 60
CACHE_TIMEOUT_SECONDS = 0.05


class WrongPassword(DomainError):
    """No password was given, or another one."""

    status = 401
    headers = {"WWW-Authenticate": 'Password realm="link"'}  # noqa: RUF012 - as its base has it


class TooManyTries(DomainError):
    """Somebody guesses."""

    status = 429
    headers = {"Retry-After": str(TRIES_SECONDS)}  # noqa: RUF012 - as its base has it


class Passwords:
    """Checks passwords for one worker."""

    def __init__(self, cache: Redis) -> None:
        self._cache = cache
        self._hasher = PasswordHasher()
        self._turns = asyncio.Semaphore(MAX_AT_ONCE)
        self._waiting = 0

    async def check(self, url_id: int, password_hash: str, password: str, address: str) -> None:
        """Return if `password` is right; raises `WrongPassword`, `TooManyTries`, `Unavailable`."""
        key = f"tries:{url_id}:{address}"
        if await self._tries(key) >= TRIES:
            raise TooManyTries("Too many wrong passwords, please wait a minute")
        if len(password) > MAX_PASSWORD_CHARACTERS:
            raise WrongPassword("Wrong password")
        if self._waiting >= MAX_WAITING:
            raise Unavailable
        self._waiting += 1
        try:
            async with self._turns:
                is_right = await asyncio.to_thread(self._verify, password_hash, password)
        finally:
            self._waiting -= 1
        if not is_right:
            await self._count(key)
            raise WrongPassword("Wrong password")

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except VerificationError:
            return False
        except InvalidHashError:
            log.error("password.unreadable_hash")  # noqa: TRY400 - the hash is a secret
            return False

    async def _tries(self, key: str) -> int:
        try:
            async with asyncio.timeout(CACHE_TIMEOUT_SECONDS):
                return int(await self._cache.get(key) or 0)
        except REDIS_ERRORS:
            return 0  # the hash's own slowness is left as a limit

    async def _count(self, key: str) -> None:
        try:
            async with asyncio.timeout(CACHE_TIMEOUT_SECONDS):
                async with self._cache.pipeline(transaction=True) as pipeline:
                    pipeline.incr(key)
                    pipeline.expire(key, TRIES_SECONDS)
                    await pipeline.execute()
        except REDIS_ERRORS as error:
            log.warning("password.uncounted", extra={"error": error})
