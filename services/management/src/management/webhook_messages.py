"""What webhooks are told, and how it is signed (Standard Webhooks 1.0). No I/O."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import msgspec

from shared.events import Click, LinkChanged

EventType = Literal["link.created", "link.updated", "link.deleted", "clicks"]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
TEST = "webhook.test"
SECRET_MARK = "whsec_"  # noqa: S105 - the mark, not a secret
SECRET_BYTES = 32
MAX_CLICKS = 500  # of one message


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message for the webhooks of one user; with None for those that are told of everybody's.

    The same happening makes the same `id` whenever it is read, so that a webhook is given it once.
    """

    id: str
    event_type: str
    user_id: int | None
    at: datetime
    body: str


class ChangedLink(msgspec.Struct, frozen=True):
    """A link as a webhook is told of it: never its password."""

    url_id: int | None
    user_id: int | None
    short_code: str
    original_url: str | None
    is_active: bool
    version: int


def new_secret() -> str:
    """Return a secret to sign with, as receivers' libraries take it."""
    return SECRET_MARK + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sign(secret: str, message_id: str, timestamp: int, body: str) -> str:
    """Return the header `webhook-signature`."""
    key = base64.b64decode(secret.removeprefix(SECRET_MARK))
    signed = f"{message_id}.{timestamp}.{body}".encode()
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def body_of(event_type: str, at: datetime, data: object) -> str:
    """Return what is sent."""
    moment = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    content: dict[str, Any] = {"type": event_type, "timestamp": moment, "data": data}
    return msgspec.json.encode(content).decode()


def of_link(change: LinkChanged) -> list[Message]:
    """Return what is told of a change: to the owner's webhooks, and to everybody's."""
    record = change.record
    at = datetime.fromtimestamp(change.committed_at, UTC)
    event_type = f"link.{change.operation}"
    data = ChangedLink(
        url_id=record.url_id,
        user_id=record.user_id,
        short_code=change.code,
        original_url=record.target,
        is_active=record.state == "active",
        version=record.version,
    )
    message = Message(
        id=f"msg_link_{change.domain}_{record.version}",  # a version is drawn once
        event_type=event_type,
        user_id=record.user_id,
        at=at,
        body=body_of(event_type, at, data),
    )
    everybody = msgspec.structs.replace(message, user_id=None)
    return [everybody] if record.user_id is None else [message, everybody]


def of_clicks(clicks: Sequence[Click]) -> list[Message]:
    """Return what is told of clicks, in batches: to the owners' webhooks, and to everybody's."""
    owners = sorted({click.user_id for click in clicks if click.user_id is not None})
    messages = [
        message
        for owner in owners
        for message in _batches(owner, [click for click in clicks if click.user_id == owner])
    ]
    return [*messages, *_batches(None, clicks)]


def _batches(user_id: int | None, clicks: Sequence[Click]) -> Iterator[Message]:
    for start in range(0, len(clicks), MAX_CLICKS):
        batch = clicks[start : start + MAX_CLICKS]
        at = max(click.at for click in batch)
        shown = [msgspec.structs.replace(click, traceparent=None) for click in batch]  # ours alone
        yield Message(
            id=f"msg_clicks_{batch[0].id}_{len(batch)}",
            event_type="clicks",
            user_id=user_id,
            at=at,
            body=body_of("clicks", at, {"clicks": shown}),
        )
