"""Visitors as numbers that tell nothing: to count each once a day, and never to know them again.

A visitor is an address as the redirector sends it (the network, by default), a browser and a
language. The number is a hash of them under a key of the day; the key is drawn at random, lies
in the bus only and goes after two days. The same visitor has another number on another day.
"""

import hashlib
import logging
import secrets
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.events import Click

log = logging.getLogger(__name__)

KEY_SECONDS = 2 * 24 * 3600
KEY_BYTES = 16
NUMBER_BYTES = 8


class VisitorNumbers:
    """Numbers the visitors of today and yesterday."""

    def __init__(self, bus: Redis) -> None:
        self._bus = bus
        self._keys: dict[date, bytes] = {}

    async def prepare(self, clicks: Iterable[Click]) -> None:
        """Have the keys of the days of `clicks`, the same for all consumers.

        A bus that is full refuses a new key. It takes storing clicks to make room: visitors go
        uncounted meanwhile.
        """
        days = {click.at.astimezone(UTC).date() for click in clicks} & _countable_days()
        try:
            for day in days - self._keys.keys():
                self._keys[day] = await self._key(day)
        except ResponseError as error:
            log.warning("visitors.uncounted", extra={"error": error})
        for day in self._keys.keys() - _countable_days():
            del self._keys[day]

    def number(self, click: Click) -> int | None:
        """Return the visitor's number on that day; None where they can't be told or are late."""
        if not click.address:
            return None
        key = self._keys.get(click.at.astimezone(UTC).date())
        if key is None:
            return None
        text = f"{click.address}\n{click.user_agent}\n{click.language}".encode()
        digest = hashlib.blake2b(text, key=key, digest_size=NUMBER_BYTES).digest()
        return int.from_bytes(digest, "big", signed=True)

    async def _key(self, day: date) -> bytes:
        name = key_name(day)
        if (found := await self._bus.get(name)) is None:
            await self._bus.set(name, secrets.token_bytes(KEY_BYTES), nx=True, ex=KEY_SECONDS)
            found = await self._bus.get(name)
        return cast("bytes", found)


def key_name(day: date) -> str:
    """Return where the key of a day lies in the bus."""
    return f"visitors:key:{day}"


def _countable_days() -> set[date]:
    """Return the days that are kept; tomorrow, too: clocks differ."""
    today = datetime.now(UTC).date()
    return {today + timedelta(days=days) for days in (-1, 0, 1)}
