"""What stored clicks tell of persons, as it is removed."""

from datetime import datetime

import msgspec

from shared.postgres import Connection


class Forgotten(msgspec.Struct, frozen=True):
    """Whose clicks tell no person any more: those for which all that is given holds."""

    url_id: int | None = None
    user_id: int | None = None
    address: str | None = None
    before: datetime | None = None


FORGET_VISITORS = """
    WITH told AS (
        SELECT at, event_id
          FROM events
         WHERE event_type = 'redirect' AND details ?| ARRAY['user_agent', 'request_id', 'address']
           AND ($1::bigint IS NULL OR url_id = $1)
           AND ($2::bigint IS NULL OR user_id = $2)
           AND ($3::text IS NULL OR details ->> 'address' = $3)
           AND ($4::timestamptz IS NULL OR at < $4)
         LIMIT 5000
           FOR UPDATE
    )
    UPDATE events
       SET details = details - ARRAY['user_agent', 'request_id', 'address']
      FROM told
     WHERE events.at = told.at AND events.event_id = told.event_id
"""


async def forget(connection: Connection, whose: Forgotten) -> int:
    """Remove from some thousand clicks what tells a person; return how many there were."""
    status = await connection.execute(
        FORGET_VISITORS, whose.url_id, whose.user_id, whose.address, whose.before
    )
    return int(status.rpartition(" ")[2])
