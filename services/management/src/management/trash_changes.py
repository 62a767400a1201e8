"""Take links out of the trash, or away for good: row, event and outbox in one transaction."""

import time

import msgspec
from redis.asyncio import Redis

from management import announcer, bans, change_log, conditions, url_repository
from management.conditions import Condition
from management.connections import transaction
from management.errors import Conflict, NotFound
from management.url_repository import VersionedUrl
from shared.events import LinkRecord
from shared.postgres import Pool


class TrashChanges:
    """Restores and purges links and sees to it that everybody learns of it."""

    def __init__(self, pool: Pool, cache: Redis, bus: Redis) -> None:
        self._pool = pool
        self._cache = cache
        self._bus = bus

    async def restore(self, url_id: int, owner: int | None) -> VersionedUrl:
        """Take a link out of the trash; raises `NotFound`, and `Conflict` without an owner."""
        async with transaction(self._pool) as connection:
            old = await url_repository.lock(connection, url_id, owner, is_deleted=True)
            if old is None:
                raise NotFound("URL not found in the trash")
            if old.url.user_id is None:
                raise Conflict("The user of this URL is gone")
            new = await url_repository.restore(connection, url_id)
            await bans.refuse_targets(connection, new.url, Conflict)
            details = {"deleted_at": None}
            changes = await change_log.write(connection, "updated", [new], [details])
        await announcer.try_at_once(self._cache, self._bus, changes)
        return new

    async def purge(self, url_id: int, condition: Condition = conditions.ANY) -> None:
        """Remove a link, in the trash or not, and free its codes; raises `NotFound`."""
        async with transaction(self._pool) as connection:
            await url_repository.keep_writers_out(connection)
            old = await url_repository.lock(connection, url_id, None) or (
                await url_repository.lock(connection, url_id, None, is_deleted=True)
            )
            if old is None:
                raise NotFound("URL not found")
            condition.check(old.record.version)
            version = await url_repository.purge(connection, url_id)
            unknown = LinkRecord(version=version, state="unknown", cached_at=time.time())
            gone = msgspec.structs.replace(old, record=unknown)
            details = {"short_code": old.url.short_code, "purged": True}
            changes = await change_log.write(connection, "deleted", [gone], [details])
        await announcer.try_at_once(self._cache, self._bus, changes)
