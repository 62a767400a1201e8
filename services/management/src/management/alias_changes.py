"""Give links further codes and take them back: rows, event and outbox in one transaction."""

from redis.asyncio import Redis

from management import alias_repository, announcer, bans, change_log, url_repository
from management.alias_repository import Alias
from management.connections import transaction
from management.errors import Invalid, NotFound
from management.url_repository import VersionedUrl
from shared.postgres import Connection, Pool


class AliasChanges:
    """Changes the codes of links and sees to it that everybody learns of it."""

    def __init__(self, pool: Pool, cache: Redis, bus: Redis) -> None:
        self._pool = pool
        self._cache = cache
        self._bus = bus

    async def add(self, url_id: int, owner: int | None, code: str) -> Alias:
        """Add a code; raises `NotFound`, and `Conflict` for a taken code or too many."""
        async with transaction(self._pool) as connection:
            await url_repository.keep_writers_out(connection)
            link = await _locked(connection, url_id, owner)
            if len(link.url.aliases) >= alias_repository.MAX_ALIASES:
                raise alias_repository.too_many()
            await bans.refuse_code(connection, code, Invalid)
            alias = await alias_repository.insert(connection, link.domain_id, code, url_id)
            new = await url_repository.renew(connection, url_id)
            details = {"aliases": new.url.aliases}
            changes = await change_log.write(connection, "updated", [new], [details])
        await announcer.try_at_once(self._cache, self._bus, changes)
        return alias

    async def remove(self, url_id: int, owner: int | None, code: str) -> None:
        """Take a code back, and free it; raises `NotFound`."""
        async with transaction(self._pool) as connection:
            await url_repository.keep_writers_out(connection)
            await _locked(connection, url_id, owner)
            if not await alias_repository.delete(connection, url_id, code):
                raise NotFound("Alias not found")
            new = await url_repository.renew(connection, url_id)
            freed = change_log.freed(new, code, new.record.version)
            details = {"aliases": new.url.aliases}
            changes = await change_log.write(connection, "updated", [new], [details], [freed])
        await announcer.try_at_once(self._cache, self._bus, changes)


async def _locked(connection: Connection, url_id: int, owner: int | None) -> VersionedUrl:
    link = await url_repository.lock(connection, url_id, owner)
    if link is None:
        raise NotFound("URL not found")
    return link
