"""Create, change and delete many links in one transaction, and tell everybody of all.

Each item is told its own error. Unless the caller wants part of it, one error undoes all.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from redis.asyncio import Redis

from management import (
    announcer,
    bans,
    bulk_repository,
    change_log,
    link_options,
    short_codes,
    url_repository,
)
from management.alias_repository import code_taken
from management.bulk_repository import NewUrl
from management.connections import transaction
from management.errors import Invalid, Malformed, NotFound
from management.link_changes import GENERATE_ATTEMPTS, TARGETS, told
from management.url_repository import Content, VersionedUrl
from shared.errors import DomainError, Unavailable
from shared.postgres import Connection, Pool


class WantedUrl(msgspec.Struct, frozen=True):
    """A URL to be made; without a code it gets one."""

    user_id: int
    short_code: str | None
    content: Content


class Outcome(msgspec.Struct, frozen=True):
    """What became of each item, by its place in the request."""

    links: dict[int, VersionedUrl]
    errors: dict[int, DomainError]


class ItemsRefused(Exception):
    """Undoes the transaction: not all of the items could be carried out."""

    def __init__(self, errors: dict[int, DomainError]) -> None:
        super().__init__()
        self.errors = errors


class BulkChanges:
    """Changes many links; with `is_partial`, those that can be."""

    def __init__(self, pool: Pool, cache: Redis, bus: Redis, *, is_partial: bool) -> None:
        self._pool = pool
        self._cache = cache
        self._bus = bus
        self._is_partial = is_partial

    async def create(self, wanted: Mapping[int, WantedUrl]) -> Outcome:
        """Add links; raises `ItemsRefused`."""
        async with transaction(self._pool) as connection:
            errors = await _unwelcome(connection, wanted)
            self._stop_at(errors)
            left = {index: each for index, each in wanted.items() if index not in errors}
            codes = await _codes(connection, left)
            news = [NewUrl(each.user_id, codes[i], each.content) for i, each in left.items()]
            made = await bulk_repository.insert(connection, news) if news else []
            await _look_at_bans_again(connection, [each.content for each in left.values()])
            details = [
                {"short_code": link.url.short_code, "original_url": link.url.original_url}
                for link in made
            ]
            changes = await change_log.write(connection, "created", made, details)
        await announcer.try_at_once(self._cache, self._bus, changes)
        return Outcome(dict(zip(left, made, strict=True)), errors)

    async def update(
        self, wanted: Mapping[int, tuple[int, Mapping[str, Any]]], owner: int | None
    ) -> Outcome:
        """Change the given fields of links, each an id and what is wanted.

        Raises `ItemsRefused`.
        """
        async with transaction(self._pool) as connection:
            old = await bulk_repository.lock(connection, {i for i, _ in wanted.values()}, owner)
            errors: dict[int, DomainError] = {
                index: NotFound("URL not found")
                for index, (url_id, _) in wanted.items()
                if url_id not in old
            }
            changed = {
                url_id: _changed(old[url_id].content, fields)
                for url_id, fields in wanted.values()
                if url_id in old
            }
            contents = {
                url_id: msgspec.structs.replace(old[url_id].content, **fields)
                for url_id, fields in changed.items()
            }
            moved = {
                index: contents[url_id]
                for index, (url_id, _) in wanted.items()
                if changed.get(url_id, {}).keys() & TARGETS
            }
            errors |= await _banned(connection, moved, Malformed)
            errors |= _backwards(
                {i: contents[url_id] for i, (url_id, _) in wanted.items() if url_id in old},
                Malformed,
            )
            self._stop_at(errors)
            refused = {wanted[index][0] for index in errors}
            kept = [each for each in contents if each not in refused]
            new = await bulk_repository.update(
                connection, {each: contents[each] for each in kept if changed[each]}
            )
            await _look_at_bans_again(
                connection, [each for index, each in moved.items() if index not in errors]
            )
            changes = await change_log.write(
                connection, "updated", list(new.values()), [told(changed[each]) for each in new]
            )
            same = [each for each in kept if not changed[each]]
            links = {**new, **await bulk_repository.touch(connection, same)}
        await announcer.try_at_once(self._cache, self._bus, changes)
        return Outcome(
            {index: links[i] for index, (i, _) in wanted.items() if index not in errors}, errors
        )

    async def delete(self, url_ids: Mapping[int, int], owner: int | None) -> Outcome:
        """Put links in the trash; raises `ItemsRefused`."""
        async with transaction(self._pool) as connection:
            old = await bulk_repository.lock(connection, set(url_ids.values()), owner)
            errors: dict[int, DomainError] = {
                index: NotFound("URL not found")
                for index, url_id in url_ids.items()
                if url_id not in old
            }
            self._stop_at(errors)
            gone = await url_repository.trash(connection, list(old))
            changes = await change_log.write(
                connection, "deleted", gone, [{"short_code": each.url.short_code} for each in gone]
            )
        await announcer.try_at_once(self._cache, self._bus, changes)
        links = {each.url.id: each for each in gone}
        return Outcome({i: links[each] for i, each in url_ids.items() if each in links}, errors)

    def _stop_at(self, errors: dict[int, DomainError]) -> None:
        if errors and not self._is_partial:
            raise ItemsRefused(errors)


def _changed(content: Content, wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if getattr(content, name) != value}


async def _unwelcome(
    connection: Connection, wanted: Mapping[int, WantedUrl]
) -> dict[int, DomainError]:
    """Return the errors of those whose owner, code, targets or times do not do."""
    codes = [each.short_code for each in wanted.values() if each.short_code is not None]
    users = await bulk_repository.lock_users(connection, {e.user_id for e in wanted.values()})
    taken = await bulk_repository.find_taken(connection, codes)
    reserved = await bulk_repository.find_reserved(connection, codes)
    errors = await _banned(
        connection, {index: each.content for index, each in wanted.items()}, Invalid
    )
    errors |= _backwards({index: each.content for index, each in wanted.items()}, Invalid)
    for index, each in wanted.items():
        if each.user_id not in users:
            errors[index] = Malformed("User not found", {"user_id": "User not found"})
        elif each.short_code in reserved:
            message = "short_code is a reserved word"
            errors[index] = Invalid(message, {"short_code": message})
        elif each.short_code in taken:
            errors[index] = code_taken()
        if each.short_code is not None:
            taken.add(each.short_code)  # also for who comes later in this request
    return errors


async def _codes(connection: Connection, wanted: Mapping[int, WantedUrl]) -> dict[int, str]:
    """Return the code of each, made where there is none."""
    codes = {i: each.short_code for i, each in wanted.items() if each.short_code is not None}
    missing = [index for index in wanted if index not in codes]
    for _ in range(GENERATE_ATTEMPTS):
        made = {index: short_codes.generate() for index in missing}
        used = set(codes.values()) | await bulk_repository.find_taken(connection, made.values())
        used |= await bulk_repository.find_reserved(connection, made.values())
        for index, code in made.items():
            if code not in used:
                codes[index] = code
                used.add(code)
        missing = [index for index in missing if index not in codes]
        if not missing:
            return codes
    raise Unavailable("No free short code was found, please try again")


async def _banned(
    connection: Connection, contents: Mapping[int, Content], error: type[DomainError]
) -> dict[int, DomainError]:
    found = await bans.find_in(connection, contents)
    return {index: error("; ".join(details.values()), details) for index, details in found.items()}


def _backwards(contents: Mapping[int, Content], error: type[DomainError]) -> dict[int, DomainError]:
    found = {
        index: link_options.wrong_span(content.starts_at, content.expires_at)
        for index, content in contents.items()
    }
    return {i: error(details["starts_at"], details) for i, details in found.items() if details}


async def _look_at_bans_again(connection: Connection, contents: Iterable[Content]) -> None:
    """Raise `Unavailable` where a host was banned since: rows that are written keep bans waiting.

    The next try is told so.
    """
    if await bans.find_in(connection, dict(enumerate(contents))):
        raise Unavailable
