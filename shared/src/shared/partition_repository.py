"""The partitions of `events`, as its owner removes them."""

import msgspec

from shared.postgres import Connection


class Partition(msgspec.Struct, frozen=True):
    """A table of events; `state` tells whether it still belongs to `events`."""

    name: str
    state: str  # "attached", "pending" where its removal was cut off, "detached"


FIND = r"""
    SELECT relname AS name,
           CASE WHEN inhparent IS NULL THEN 'detached'
                WHEN inhdetachpending THEN 'pending' ELSE 'attached' END AS state
      FROM pg_class
      LEFT JOIN pg_inherits ON inhrelid = pg_class.oid AND inhparent = 'events'::regclass
     WHERE relkind = 'r' AND relname ~ '^events_[0-9]{6}([0-9]{2})?$'
       AND relnamespace = 'public'::regnamespace
     ORDER BY relname
"""


async def find(connection: Connection) -> list[Partition]:
    """Return the tables that hold or held events, oldest first."""
    return msgspec.convert(await connection.fetch(FIND), list[Partition])


DETACH = "ALTER TABLE events DETACH PARTITION {name} CONCURRENTLY"
FINALIZE = "ALTER TABLE events DETACH PARTITION {name} FINALIZE"
DROP = "DROP TABLE {name}"


async def remove(connection: Connection, partition: Partition) -> None:
    """Remove a partition and what is in it; not within a transaction.

    Readers and writers of the other partitions are not blocked: it waits for those that read
    this one.
    """
    if partition.state == "attached":
        await connection.execute(DETACH.format(name=partition.name))
    elif partition.state == "pending":
        await connection.execute(FINALIZE.format(name=partition.name))
    await connection.execute(DROP.format(name=partition.name))
