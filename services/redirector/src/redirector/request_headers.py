"""What a redirect takes note of in a request's headers. No I/O."""

import re
from collections.abc import Iterable

from redirector.visitors import HEADERS

_HEADER = re.compile(rb"\n(%b):[\t ]*([^\r\n]*)" % b"|".join(HEADERS), re.IGNORECASE)

Headers = dict[bytes, bytes]

PREFETCH = b"prefetch"
_PURPOSES = (b"sec-purpose", b"purpose", b"x-moz")  # the standard's, and two older ones


def from_head(fields: bytes) -> Headers:
    """Pick them out of header lines whose syntax is right, a line feed before each."""
    found = _HEADER.findall(fields)
    found.reverse()  # of fields of one name the first counts
    return {name.lower(): value.rstrip() for name, value in found}


def from_scope(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Pick them out of the headers of an ASGI scope."""
    picked: Headers = {}
    for name, value in headers:
        if name in HEADERS:
            picked.setdefault(name, value.rstrip())
    return picked


def is_prefetch(headers: Headers) -> bool:
    """Tell whether a browser asks in advance, for a visitor who may never come.

    `Sec-Purpose: prefetch;prerender` does, too.
    """
    return any(
        headers[name].partition(b";")[0].strip().lower() == PREFETCH
        for name in _PURPOSES
        if name in headers
    )
