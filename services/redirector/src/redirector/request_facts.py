"""What a redirect takes note of in a request's headers. No I/O."""

import re
from collections.abc import Iterable, Mapping

import msgspec

from redirector.click_encoder import visitor_members

NAMES = (b"x-request-id", b"x-request-start", b"referer", b"user-agent")

_HEADER = re.compile(rb"\n(%b):[\t ]*([^\r\n]*)" % b"|".join(NAMES), re.IGNORECASE)


class RequestFacts(msgspec.Struct, frozen=True, gc=False):
    """The facts of one request; `visitor` is as `visitor_members` returns it."""

    request_id: bytes | None
    started: bytes | None
    visitor: bytes


def from_head(fields: bytes) -> RequestFacts:
    """Take them from header lines whose syntax was found to be right, a line feed before each."""
    found = _HEADER.findall(fields)
    found.reverse()  # of fields of one name the first counts
    return _facts({name.lower(): value.rstrip() for name, value in found})


def from_scope(headers: Iterable[tuple[bytes, bytes]]) -> RequestFacts:
    """Take them from the headers of an ASGI scope."""
    picked: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in NAMES:
            picked.setdefault(name, value.rstrip())
    return _facts(picked)


def _facts(headers: Mapping[bytes, bytes]) -> RequestFacts:
    return RequestFacts(
        headers.get(b"x-request-id"),
        headers.get(b"x-request-start"),
        visitor_members(headers.get(b"referer"), headers.get(b"user-agent")),
    )
