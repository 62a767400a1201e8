"""Create, change and delete links: row, event and outbox in one transaction, then announce."""

from collections.abc import Mapping
from typing import Any

import msgspec
from redis.asyncio import Redis

from management import (
    alias_repository,
    announcer,
    audit_repository,
    bans,
    change_log,
    conditions,
    link_options,
    short_codes,
    url_repository,
    user_repository,
)
from management.conditions import Condition
from management.connections import transaction
from management.errors import Invalid, Malformed, NotFound
from management.url_repository import Content, VersionedUrl
from shared.errors import DomainError, Unavailable
from shared.events import DEFAULT_DOMAIN, LinkChanged
from shared.postgres import Connection, Pool

GENERATE_ATTEMPTS = 10  # of 62^6 codes: a tenth collision in a row means something else is wrong

TARGETS = {"original_url", "expired_url", "rules"}


class LinkChanges:
    """Changes links and sees to it that everybody learns of it."""

    def __init__(self, pool: Pool, cache: Redis, bus: Redis) -> None:
        self._pool = pool
        self._cache = cache
        self._bus = bus

    async def create(self, user_id: int, code: str | None, content: Content) -> VersionedUrl:
        """Add a link; raises `Conflict` for a taken code and `Malformed` for an unknown user."""
        _refuse_span(content, Invalid)
        async with transaction(self._pool) as connection:
            link = await _insert(connection, user_id, code, content)
            url = link.url
            await bans.refuse_targets(connection, url, Invalid)
            details = {"short_code": url.short_code, "original_url": url.original_url}
            changes = await change_log.write(connection, "created", [link], [details])
        await announcer.try_at_once(self._cache, self._bus, changes)
        return link

    async def update(
        self,
        url_id: int,
        owner: int | None,
        wanted: Mapping[str, Any],
        *,
        code: str | None = None,
        condition: Condition = conditions.ANY,
    ) -> VersionedUrl:
        """Change what is given of a link's `Content`, and its code: the old one is an alias then.

        Raises `NotFound`, `PreconditionFailed`, and `Conflict` for a taken code.
        """
        async with transaction(self._pool) as connection:
            if code is not None:
                await _prepare_renaming(connection, url_id, code)
            old = await _locked(connection, url_id, owner, condition)
            changed = {
                name: value for name, value in wanted.items() if getattr(old.content, name) != value
            }
            is_renamed = code is not None and code != old.url.short_code
            if not changed and not is_renamed:
                return await url_repository.touch(connection, url_id)
            content = msgspec.structs.replace(old.content, **changed)
            _refuse_span(content, Malformed)
            if code is not None and is_renamed:
                await _rename(connection, old, code)
            new = await url_repository.update(connection, url_id, content)
            if changed.keys() & TARGETS:
                await bans.refuse_targets(connection, new.url, Malformed)
            shown = told(changed)
            if is_renamed:
                shown |= {"short_code": new.url.short_code, "aliases": new.url.aliases}
            changes = await change_log.write(connection, "updated", [new], [shown])
        await announcer.try_at_once(self._cache, self._bus, changes)
        return new

    async def delete(
        self, url_id: int, owner: int | None, condition: Condition = conditions.ANY
    ) -> None:
        """Put a link in the trash; raises `NotFound` and `PreconditionFailed`."""
        async with transaction(self._pool) as connection:
            await _locked(connection, url_id, owner, condition)
            changes = await _trash(connection, [url_id])
        await announcer.try_at_once(self._cache, self._bus, changes)

    async def delete_user(self, user_id: int, heir: int | None = None) -> None:
        """Remove a user, and put all their links in the trash, or give them to `heir`.

        Raises `NotFound`, and `Malformed` where the heir is nobody or who is removed.
        """
        async with transaction(self._pool) as connection:
            await _lock_users(connection, user_id, heir)
            url_ids = await url_repository.lock_of_user(connection, user_id)
            if heir is not None:
                await url_repository.hand_over_trash(connection, user_id, heir)
            changes = []
            if url_ids and heir is not None:
                changes = await _hand_over(connection, url_ids, heir)
            elif url_ids:
                changes = await _trash(connection, url_ids)
            await user_repository.delete(connection, user_id)
            facts = {} if heir is None else {"transferred_to": heir, "urls": len(url_ids)}
            await audit_repository.insert(
                connection, "user.deleted", user_id=user_id, subject_id=user_id, details=facts
            )
        await announcer.try_at_once(self._cache, self._bus, changes)


async def _locked(
    connection: Connection, url_id: int, owner: int | None, condition: Condition
) -> VersionedUrl:
    link = await url_repository.lock(connection, url_id, owner)
    if link is None:
        raise NotFound("URL not found")
    condition.check(link.record.version)
    return link


def _refuse_span(content: Content, error: type[DomainError]) -> None:
    """Raise `error` where a link would end before it begins."""
    details = link_options.wrong_span(content.starts_at, content.expires_at)
    if details:
        raise error(details["starts_at"], details)


async def _insert(
    connection: Connection, user_id: int, code: str | None, content: Content
) -> VersionedUrl:
    if code is not None:
        link = await url_repository.insert(connection, DEFAULT_DOMAIN, code, user_id, content)
        if link is None:
            await bans.refuse_code(connection, code, Invalid)
            raise alias_repository.code_taken()
        return link
    for _ in range(GENERATE_ATTEMPTS):
        link = await url_repository.insert(
            connection, DEFAULT_DOMAIN, short_codes.generate(), user_id, content
        )
        if link is not None:
            return link
    raise Unavailable("No free short code was found, please try again")


async def _prepare_renaming(connection: Connection, url_id: int, code: str) -> None:
    # Clients send back all that they read: only another code is worth the lock.
    if code != await url_repository.find_code(connection, url_id):
        await url_repository.keep_writers_out(connection)


async def _rename(connection: Connection, link: VersionedUrl, code: str) -> None:
    """Make `code` a link's own; what was its own becomes an alias."""
    await bans.refuse_code(connection, code, Malformed)
    is_own = await alias_repository.delete(connection, link.url.id, code)
    if len(link.url.aliases) - is_own >= alias_repository.MAX_ALIASES:
        raise alias_repository.too_many()
    await url_repository.set_code(connection, link.url.id, code)
    await alias_repository.insert(connection, link.domain_id, link.url.short_code, link.url.id)


def told(changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changed fields as the API shows them: of a password, whether there is one."""
    shown = dict(changed)
    if "password_hash" in shown:
        shown["has_password"] = shown.pop("password_hash") is not None
    return shown


async def _lock_users(connection: Connection, user_id: int, heir: int | None) -> None:
    if heir == user_id:
        message = "transfer_to must be another user"
        raise Malformed(message, {"transfer_to": message})
    # One order of locks for all: two users may be each other's heir.
    for each in sorted({user_id} if heir is None else {user_id, heir}):
        if await user_repository.lock(connection, each):
            continue
        if each == user_id:
            raise NotFound("User not found")
        raise Malformed("transfer_to is no user", {"transfer_to": "transfer_to is no user"})


async def _hand_over(connection: Connection, url_ids: list[int], heir: int) -> list[LinkChanged]:
    links = await url_repository.hand_over(connection, url_ids, heir)
    return await change_log.write(connection, "updated", links, [{"user_id": heir}] * len(links))


async def _trash(connection: Connection, url_ids: list[int]) -> list[LinkChanged]:
    links = await url_repository.trash(connection, url_ids)
    return await change_log.write(
        connection, "deleted", links, [{"short_code": link.url.short_code} for link in links]
    )
