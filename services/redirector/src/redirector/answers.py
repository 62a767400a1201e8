"""What a visitor of an active link is answered. No I/O."""

import re

import msgspec

from redirector.click_encoder import link_members
from shared.events import LinkRecord

CACHE_CONTROL = "private, max-age=0"  # a browser asks again: an edit arrives at once

_UNSAFE = re.compile(r"[^!-~]")  # would end or break a header; stores hold none


class ReadyAnswer(msgspec.Struct, frozen=True, gc=False):
    """The parts of a redirect and of its click that are the same for every visitor."""

    fields: bytes  # header lines of the 302, as Starlette and uvicorn write them
    click: bytes  # members of the click's JSON


def redirect_headers(record: LinkRecord) -> dict[str, str]:
    """Return the header fields of a redirect."""
    assert record.target is not None
    return {"location": record.target, "cache-control": CACHE_CONTROL}


def ready_answer(domain: int, code: str, record: LinkRecord) -> ReadyAnswer | None:
    """Return what can be prepared, or None for a link that needs a look at each visitor."""
    if record.state != "active" or record.target is None or _UNSAFE.search(record.target):
        return None
    lines = [f"{name}: {value}\r\n" for name, value in redirect_headers(record).items()]
    fields = "".join([*lines, "content-length: 0\r\n"])
    return ReadyAnswer(fields.encode(), link_members(domain, code, record))
