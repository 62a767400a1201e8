"""The tags of the `urls` table, counted."""

import msgspec

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
