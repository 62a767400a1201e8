"""The JSON of a click, put together from ready pieces: a link's, a moment's, a visitor's. No I/O.

Encoding a `shared.events.Click` gives the same object at several times the cost.
"""

from functools import lru_cache

from redirector.click_identity import ClickIdentifier
from shared.events import DEFAULT_DOMAIN, LinkRecord, encoder

MAX_FIELD_CHARACTERS = 512
REMEMBERED_PIECES = 4_096  # of each kind; a popular link's visitors use few browsers


def link_members(domain: int, code: str, record: LinkRecord) -> bytes:
    """Return the members that all clicks of one link share."""
    members: dict[str, object] = {"code": code, "url_id": record.url_id}
    if record.user_id is not None:
        members["user_id"] = record.user_id
    if domain != DEFAULT_DOMAIN:
        members["domain"] = domain
    return encoder.encode(members)[1:-1]


def visitor_members(referrer: bytes | None, user_agent: bytes | None) -> bytes:
    """Return the members that say from where and with what a visitor came, a comma before each."""
    return (_referrer(referrer) if referrer else b"") + (_agent(user_agent) if user_agent else b"")


class ClickEncoder:
    """Encodes the clicks of one worker."""

    def __init__(self) -> None:
        self._identifier = ClickIdentifier()

    def encode(
        self, link: bytes, visitor: bytes, request_id: bytes, started: bytes | None
    ) -> bytes:
        """Return a click of what `link_members` and `visitor_members` describe.

        `request_id` is visible ASCII, `started` the gateway's time of the request.
        """
        return b'{%b,%b,"request_id":%b%b}' % (
            self._identifier.identify(request_id, started),
            link,
            encoder.encode(request_id.decode()),
            visitor,
        )


@lru_cache(REMEMBERED_PIECES)
def _referrer(referrer: bytes) -> bytes:
    # Scheme and host: the rest of an address may hold what is none of our business.
    return _member("referrer", b"/".join(referrer.split(b"/", 3)[:3]))


@lru_cache(REMEMBERED_PIECES)
def _agent(user_agent: bytes) -> bytes:
    return _member("user_agent", user_agent)


def _member(name: str, value: bytes) -> bytes:
    text = value.decode("latin-1")[:MAX_FIELD_CHARACTERS]
    return b',"%b":%b' % (name.encode(), encoder.encode(text))
