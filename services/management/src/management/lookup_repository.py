"""One URL by what it is known by: a code or a target."""

from management import url_repository
from management.url_repository import VersionedUrl
from shared.events import DEFAULT_DOMAIN
from shared.postgres import Connection

BY_CODE = """
    WHERE deleted_at IS NULL AND ($3::bigint IS NULL OR user_id = $3)
      AND id IN (SELECT id FROM urls WHERE domain_id = $1 AND short_code = $2
                 UNION ALL
                 SELECT url_id FROM url_aliases WHERE domain_id = $1 AND short_code = $2)
"""


async def find_by_code(connection: Connection, code: str, owner: int | None) -> VersionedUrl | None:
    """Return the live URL, of `owner` if given, that has this code or alias, or None."""
    found = await url_repository.select_versioned(connection, BY_CODE, DEFAULT_DOMAIN, code, owner)
    return found[0] if found else None


BY_TARGET = """
    WHERE deleted_at IS NULL AND ($2::bigint IS NULL OR user_id = $2)
      AND hashtextextended(original_url, 0) = hashtextextended($1::text, 0) AND original_url = $1
    ORDER BY user_id, id LIMIT 1
"""


async def find_by_target(
    connection: Connection, target: str, owner: int | None
) -> VersionedUrl | None:
    """Return the first live URL, of `owner` if given, that leads to `target`, or None."""
    found = await url_repository.select_versioned(connection, BY_TARGET, target, owner)
    return found[0] if found else None
