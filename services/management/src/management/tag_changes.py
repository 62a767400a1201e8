"""Rename tags and take them off links: rows, events and outbox in one transaction."""

from collections.abc import Callable

import msgspec
from redis.asyncio import Redis

from management import announcer, bulk_repository, change_log, tag_repository
from management.connections import transaction
from management.errors import NotFound
from shared.postgres import Pool

MAX_LINKS = 1_000  # in one call, as in other changes of many

Tags = tuple[str, ...]


class Tagged(msgspec.Struct, frozen=True):
    """How many links were changed, and how many have the tag still: the next call takes them."""

    changed: int
    left: int


class TagChanges:
    """Changes the tags of many links and sees to it that everybody learns of it."""

    def __init__(self, pool: Pool, cache: Redis, bus: Redis) -> None:
        self._pool = pool
        self._cache = cache
        self._bus = bus

    async def rename(self, tag: str, name: str, owner: int | None) -> Tagged:
        """Call a tag `name`, which links may have already; raises `NotFound`."""

        def renamed(tags: Tags) -> Tags:
            return tuple(dict.fromkeys(name if each == tag else each for each in tags))

        return await self._change(tag, owner, renamed)

    async def remove(self, tag: str, owner: int | None) -> Tagged:
        """Take a tag off the links that have it; raises `NotFound`."""
        return await self._change(tag, owner, lambda tags: tuple(t for t in tags if t != tag))

    async def _change(self, tag: str, owner: int | None, after: Callable[[Tags], Tags]) -> Tagged:
        async with transaction(self._pool) as connection:
            links = await tag_repository.lock(connection, tag, owner, MAX_LINKS)
            if not links:
                raise NotFound("Tag not found")
            contents = {
                link.url.id: msgspec.structs.replace(link.content, tags=after(link.content.tags))
                for link in links
            }
            new = list((await bulk_repository.update(connection, contents)).values())
            details = [{"tags": link.content.tags} for link in new]
            changes = await change_log.write(connection, "updated", new, details)
            left = await tag_repository.count(connection, tag, owner)
        await announcer.try_at_once(self._cache, self._bus, changes)
        return Tagged(len(new), left)
