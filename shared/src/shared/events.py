"""Everything that travels on the bus, as plain data. Fields are only ever added, with a default."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

DEFAULT_DOMAIN = 1  # id of the domain that answers on any host name

LinkState = Literal["active", "inactive", "deleted", "unknown"]
DeadReason = Literal["undecodable", "out_of_range", "refused", "redelivered"]


class Click(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One followed redirect.

    `id` is a UUIDv7 (RFC 9562) made once by the redirector: together with `at` it identifies
    the click wherever it is delivered twice. `referrer` is an origin; `address` the visitor's, or
    its network, as the operator allows; `language` the one their browser prefers; `source` is
    `qr` where a QR code was scanned.
    """

    id: UUID
    at: Annotated[datetime, msgspec.Meta(extra_json_schema={"format": "date-time"})]  # UTC
    code: str
    url_id: int
    user_id: int | None = None
    domain: int = DEFAULT_DOMAIN
    request_id: str = ""
    referrer: str | None = None
    user_agent: str | None = None
    address: str | None = None
    language: str | None = None
    source: str | None = None
    traceparent: str | None = None  # names the request's span, where it is traced


RedirectStatus = Literal[301, 302, 307, 308]


class Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Another target for some visitors: those who meet every condition given, or a share of them.

    Each condition lists what is accepted, in lower case: `devices` of `desktop`, `mobile`,
    `tablet`; `systems` such as `ios`, `android`, `windows`; `languages` (`de` or `de-at`);
    `countries` (ISO 3166-1 alpha-2). `percent` of the visitors left are taken, always the same.
    """

    target: str
    devices: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    percent: int = 100


class LinkRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a redirector has to know of one code; also the payload of its cache entry.

    `state` is `unknown` where no row exists; then `version` is 0, older than any row's. `target`
    and those of `rules` are visible ASCII. `starts_at` and `expires_at` are Unix time in seconds;
    `password_hash` is Argon2's encoded form; `cache_seconds` is how long a browser may keep the
    answer; `expired_target` is where the link leads past `expires_at` or `max_clicks`.
    """

    version: int
    state: LinkState
    cached_at: float  # Unix time in seconds: when the row was read or written
    url_id: int | None = None
    user_id: int | None = None
    target: str | None = None
    expires_at: float | None = None
    max_clicks: int | None = None
    password_hash: str | None = None
    redirect_status: RedirectStatus = 302
    cache_seconds: int | None = None
    forward_query: bool = False
    rules: tuple[Rule, ...] = ()
    starts_at: float | None = None
    expired_target: str | None = None


class LinkChanged(msgspec.Struct, frozen=True, kw_only=True, tag="link.changed.v1"):
    """A link was created, changed or deleted; `record` is its new state."""

    code: str
    operation: Literal["created", "updated", "deleted"]
    record: LinkRecord
    committed_at: float  # Unix time in seconds
    domain: int = DEFAULT_DOMAIN
    traceparent: str | msgspec.UnsetType = msgspec.UNSET  # as in Click: of the change's request


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
