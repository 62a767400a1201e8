"""The JSON of a click, put together from ready pieces: a link's, a moment's, a visitor's. No I/O.

Encoding a `shared.events.Click` gives the same object at several times the cost.
"""

from redirector.click_identity import NUMBER_DIGITS, ClickIdentifier
from shared.events import DEFAULT_DOMAIN, LinkRecord, encoder

QR_MARK = b"src=qr"  # in the query of the address that a QR code holds
FROM_QR = b',"source":"qr"'


def link_members(domain: int, code: str, record: LinkRecord) -> bytes:
    """Return the members that all clicks of one link share; a code without a link has no ids."""
    members: dict[str, object] = {"code": code}
    if record.url_id is not None:
        members["url_id"] = record.url_id
    if record.user_id is not None:
        members["user_id"] = record.user_id
    if domain != DEFAULT_DOMAIN:
        members["domain"] = domain
    return encoder.encode(members)[1:-1]


def source_members(query: bytes) -> bytes:
    """Return the member that says by which way the visitor came, a comma before it."""
    return FROM_QR if QR_MARK in query.split(b"&") else b""


def trace_member(traceparent: str) -> bytes:
    """Return the member that names the request's span, a comma before it."""
    return b',"traceparent":"%b"' % traceparent.encode()


def quoted(request_id: bytes) -> bytes:
    """Return visible ASCII as JSON."""
    return encoder.encode(request_id.decode())


class ClickEncoder:
    """Encodes the clicks of one worker."""

    def __init__(self) -> None:
        self._identifier = ClickIdentifier()
        self._of_new_ids = ClickIdentifier()  # a mark of its own: it numbers otherwise

    def encode(
        self,
        link: bytes,
        visitor: bytes,
        request_id: bytes,
        quoted_id: bytes,
        started: bytes | None,
    ) -> bytes:
        """Return a click on what `link` describes, with what `visitor` adds.

        `request_id` is visible ASCII, `quoted_id` the same in JSON, `started` the gateway's time
        of the request.
        """
        return b'{%b,%b,"request_id":%b%b}' % (
            self._identifier.identify(request_id, started),
            link,
            quoted_id,
            visitor,
        )

    def encode_new(self, link: bytes, visitor: bytes, request_id: bytes, now: float) -> bytes:
        """Return the click of a request whose id was made here, as hex digits that count up.

        It has no start of the gateway's, which sends an id with each: `now` (Unix time) is its
        time, and the number in its id that of the request's.
        """
        before, after = self._of_new_ids.around_number(now)
        return b'{%b%b%b,%b,"request_id":"%b"%b}' % (
            before,
            request_id[-NUMBER_DIGITS:],
            after,
            link,
            request_id,
            visitor,
        )
