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


# Every visitor gets there by it, now and later. By which status, for how long a browser remembers,
# and with the visitor's query or without may differ from what a new link would do.
ALIKE = """
    WHERE deleted_at IS NULL AND user_id = $2
      AND hashtextextended(original_url, 0) = hashtextextended($1::text, 0) AND original_url = $1
      AND is_active AND archived_at IS NULL AND (starts_at IS NULL OR starts_at <= now())
      AND expires_at IS NULL AND max_clicks IS NULL AND password_hash IS NULL AND rules IS NULL
      AND ($3::text IS NULL OR short_code = $3 OR EXISTS (
               SELECT FROM url_aliases WHERE url_id = urls.id AND url_aliases.short_code = $3))
    ORDER BY user_id, id LIMIT 1
"""


async def find_alike(
    connection: Connection, target: str, user_id: int, code: str | None
) -> VersionedUrl | None:
    """Return a user's oldest URL that leads everybody to `target` for good, or None.

    With `code` it is one that has this code or alias.
    """
    found = await url_repository.select_versioned(connection, ALIKE, target, user_id, code)
    return found[0] if found else None
