"""Hashes the passwords of links, as the redirector checks them: slowly, a few at a time."""

import asyncio

from argon2 import PasswordHasher

from shared.errors import Unavailable

MAX_AT_ONCE = 2  # each costs a core some 50 ms and 64 MB
MAX_WAITING = 20


class Passwords:
    """Hashes passwords for one process, beside its event loop."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()  # Argon2id, RFC 9106's second recommended option
        self._turns = asyncio.Semaphore(MAX_AT_ONCE)
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Return the hash in Argon2's encoded form; raises `Unavailable` where too many wait."""
        if self._waiting >= MAX_WAITING:
            raise Unavailable
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(self._hasher.hash, password)
        finally:
            self._waiting -= 1
