"""Everything that travels on the bus, as plain data. Fields are only ever added, with a default."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

DEFAULT_DOMAIN = 1  # id of the domain that answers on any host name

LinkState = Literal["active", "inactive", "deleted", "unknown"]


class Click(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One followed redirect.

    `id` is a UUIDv7 (RFC 9562) made once by the redirector: together with `at` it identifies
    the click wherever it is delivered twice.
    """

    id: UUID
    at: datetime  # UTC
    code: str
    url_id: int
    user_id: int | None = None
    domain: int = DEFAULT_DOMAIN
    request_id: str = ""
    referrer: str | None = None
    user_agent: str | None = None


class LinkRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a redirector has to know of one code; also the payload of its cache entry.

    `state` is `unknown` where no row exists; then `version` is 0, older than any row's.
    """

    version: int
    state: LinkState
    cached_at: float  # Unix time in seconds: when the row was read or written
    url_id: int | None = None
    user_id: int | None = None
    target: str | None = None


class LinkChanged(msgspec.Struct, frozen=True, kw_only=True, tag="link.changed.v1"):
    """A link was created, changed or deleted; `record` is its new state."""

    code: str
    operation: Literal["created", "updated", "deleted"]
    record: LinkRecord
    committed_at: float  # Unix time in seconds
    domain: int = DEFAULT_DOMAIN


class RelayHeartbeat(msgspec.Struct, frozen=True, kw_only=True, tag="relay.heartbeat.v1"):
    """Sent every second by the active relay: silence means that changes may be missing."""

    at: float  # Unix time in seconds
    outbox_age: float = 0.0  # seconds the oldest unannounced change has waited


LinkMessage = LinkChanged | RelayHeartbeat

encoder = msgspec.json.Encoder()
click_decoder = msgspec.json.Decoder(Click)
clicks_decoder = msgspec.json.Decoder(list[Click])
raw_batch_decoder = msgspec.json.Decoder(list[msgspec.Raw])
record_decoder = msgspec.json.Decoder(LinkRecord)
link_message_decoder = msgspec.json.Decoder(LinkMessage)
