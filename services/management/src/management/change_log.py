"""What every change of a link leaves, within its transaction: an event, and announcements."""

import time
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from management import event_repository, outbox_repository
from management.event_repository import NewEvent
from management.url_repository import VersionedUrl
from shared import checkpoints
from shared.events import LinkChanged, LinkRecord
from shared.postgres import Connection

Operation = Literal["created", "updated", "deleted"]


async def write(
    connection: Connection,
    operation: Operation,
    links: Sequence[VersionedUrl],
    details: Sequence[dict[str, Any]],
    freed: Sequence[LinkChanged] = (),
) -> list[LinkChanged]:
    """Write the events and the outbox of changed links; return what is to be announced.

    A change is announced under each of a link's codes. `freed` are codes that it has no more.
    """
    events = [
        NewEvent(operation, link.url.id, link.url.user_id, facts)
        for link, facts in zip(links, details, strict=True)
    ]
    await event_repository.insert(connection, events)
    now = time.time()
    trace = checkpoints.traceparent() or msgspec.UNSET
    changes = [
        LinkChanged(
            code=code,
            domain=link.domain_id,
            operation=operation,
            record=link.record,
            committed_at=now,
            traceparent=trace,
        )
        for link in links
        for code in link.codes
    ]
    changes += freed
    await outbox_repository.insert(connection, changes)
    return changes


def freed(link: VersionedUrl, code: str, version: int) -> LinkChanged:
    """Return the announcement that `code` leads nowhere from `version` on."""
    now = time.time()
    return LinkChanged(
        code=code,
        domain=link.domain_id,
        operation="deleted",
        record=LinkRecord(version=version, state="unknown", cached_at=now),
        committed_at=now,
        traceparent=checkpoints.traceparent() or msgspec.UNSET,
    )
