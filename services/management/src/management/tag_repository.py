"""The tags of the `urls` table: counted, and the rows that have one."""

import msgspec

from management import url_repository
from management.url_repository import VersionedUrl
from shared.postgres import Connection


class Tag(msgspec.Struct, frozen=True):
    """A tag and how many URLs have it."""

    name: str
    urls: int


SELECT_PAGE = """
    SELECT tag AS name, count(*) AS urls
      FROM urls, unnest(tags) AS tag
     WHERE deleted_at IS NULL AND archived_at IS NULL AND tags <> '{}'
       AND tag COLLATE "C" > $1
     GROUP BY tag
     ORDER BY tag COLLATE "C"
     LIMIT $2
"""
SELECT_PAGE_OF_USER = SELECT_PAGE.replace("WHERE", "WHERE user_id = $3 AND")


async def find_page(
    connection: Connection, after: str, limit: int, user_id: int | None
) -> list[Tag]:
    """Return the tags that follow `after`, of a user's URLs if given, and one beyond `limit`."""
    if user_id is None:
        rows = await connection.fetch(SELECT_PAGE, after, limit + 1)
    else:
        rows = await connection.fetch(SELECT_PAGE_OF_USER, after, limit + 1, user_id)
    return msgspec.convert(rows, list[Tag])


_HAS_TAG = """
    deleted_at IS NULL AND tags <> '{}' AND tags @> ARRAY[$1::text]
    AND ($2::bigint IS NULL OR user_id = $2)
"""
LOCK = f"WHERE {_HAS_TAG} ORDER BY id LIMIT $3 FOR UPDATE"


async def lock(
    connection: Connection, tag: str, owner: int | None, limit: int
) -> list[VersionedUrl]:
    """Return up to `limit` live URLs with the tag, and keep them from changing."""
    return await url_repository.select_versioned(connection, LOCK, tag, owner, limit)


COUNT = f"SELECT count(*) FROM urls WHERE {_HAS_TAG}"  # noqa: S608


async def count(connection: Connection, tag: str, owner: int | None) -> int:
    """Return how many live URLs have the tag, archived ones too."""
    return int(await connection.fetchval(COUNT, tag, owner))
