"""Create, change and delete links: row, event and outbox in one transaction, then announce."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from redis.asyncio import Redis

from management import (
    announcer,
    audit_repository,
    event_repository,
    outbox_repository,
    short_codes,
    url_repository,
    user_repository,
)
from management.connections import transaction
from management.errors import Conflict, NotFound
from management.event_repository import NewEvent
from management.url_repository import Content, VersionedUrl
from shared import checkpoints
from shared.errors import Unavailable
from shared.events import DEFAULT_DOMAIN, LinkChanged
from shared.postgres import Connection, Pool

GENERATE_ATTEMPTS = 10  # of 62^6 codes: a tenth collision in a row means something else is wrong
Operation = Literal["created", "updated", "deleted"]


class LinkChanges:
    """Changes links and sees to it that everybody learns of it."""

    def __init__(self, pool: Pool, cache: Redis, bus: Redis) -> None:
        self._pool = pool
        self._cache = cache
        self._bus = bus

    async def create(self, user_id: int, code: str | None, content: Content) -> VersionedUrl:
        """Add a link; raises `Conflict` for a taken code and `Malformed` for an unknown user."""
        async with transaction(self._pool) as connection:
            link = await _insert(connection, user_id, code, content)
            url = link.url
            details = {"short_code": url.short_code, "original_url": url.original_url}
            changes = await _log(connection, "created", [link], [details])
        await announcer.try_at_once(self._cache, self._bus, changes)
        return link

    async def update(self, url_id: int, owner: int | None, wanted: dict[str, Any]) -> VersionedUrl:
        """Change what is given of a link's `Content`; raises `NotFound`."""
        async with transaction(self._pool) as connection:
            old = await url_repository.lock(connection, url_id, owner)
            if old is None:
                raise NotFound("URL not found")
            content = old.content
            changed = {
                name: value for name, value in wanted.items() if getattr(content, name) != value
            }
            if not changed:
                return await url_repository.touch(connection, url_id)
            new = await url_repository.update(
                connection, url_id, msgspec.structs.replace(content, **changed)
            )
            changes = await _log(connection, "updated", [new], [_told(changed)])
        await announcer.try_at_once(self._cache, self._bus, changes)
        return new

    async def delete(self, url_id: int, owner: int | None) -> None:
        """Put a link in the trash; raises `NotFound`."""
        async with transaction(self._pool) as connection:
            if await url_repository.lock(connection, url_id, owner) is None:
                raise NotFound("URL not found")
            changes = await _trash(connection, [url_id])
        await announcer.try_at_once(self._cache, self._bus, changes)

    async def delete_user(self, user_id: int) -> None:
        """Put all of a user's links in the trash and remove the user; raises `NotFound`."""
        async with transaction(self._pool) as connection:
            if not await user_repository.lock(connection, user_id):
                raise NotFound("User not found")
            url_ids = await url_repository.lock_of_user(connection, user_id)
            changes = await _trash(connection, url_ids) if url_ids else []
            await user_repository.delete(connection, user_id)
            await audit_repository.insert(
                connection, "user.deleted", user_id=user_id, subject_id=user_id
            )
        await announcer.try_at_once(self._cache, self._bus, changes)


async def _insert(
    connection: Connection, user_id: int, code: str | None, content: Content
) -> VersionedUrl:
    if code is not None:
        link = await url_repository.insert(connection, DEFAULT_DOMAIN, code, user_id, content)
        if link is None:
            message = "This short code is taken"
            raise Conflict(message, {"short_code": message})
        return link
    for _ in range(GENERATE_ATTEMPTS):
        link = await url_repository.insert(
            connection, DEFAULT_DOMAIN, short_codes.generate(), user_id, content
        )
        if link is not None:
            return link
    raise Unavailable("No free short code was found, please try again")


def _told(changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changed fields as the API shows them: of a password, whether there is one."""
    told = dict(changed)
    if "password_hash" in told:
        told["has_password"] = told.pop("password_hash") is not None
    return told


async def _trash(connection: Connection, url_ids: list[int]) -> list[LinkChanged]:
    links = await url_repository.trash(connection, url_ids)
    return await _log(
        connection, "deleted", links, [{"short_code": link.url.short_code} for link in links]
    )


async def _log(
    connection: Connection,
    operation: Operation,
    links: Sequence[VersionedUrl],
    details: Sequence[dict[str, Any]],
) -> list[LinkChanged]:
    """Write the events and the outbox of changed links; return what is to be announced."""
    events = [
        NewEvent(operation, link.url.id, link.url.user_id, facts)
        for link, facts in zip(links, details, strict=True)
    ]
    await event_repository.insert(connection, events)
    changes = [_change(operation, link) for link in links]
    await outbox_repository.insert(connection, changes)
    return changes


def _change(operation: Operation, link: VersionedUrl) -> LinkChanged:
    return LinkChanged(
        code=link.url.short_code,
        domain=link.domain_id,
        operation=operation,
        record=link.record,
        committed_at=time.time(),
        traceparent=checkpoints.traceparent() or msgspec.UNSET,
    )
