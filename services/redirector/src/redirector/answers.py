"""What a visitor of an active link is answered. No I/O."""

import re

import msgspec

from redirector.click_encoder import link_members
from shared.events import LinkRecord

PERMANENT = {301, 308}
PERMANENT_SECONDS = 90  # a browser would keep a permanent redirect for ever: edits must arrive
STATUS_LINES = {
    301: b"HTTP/1.1 301 Moved Permanently\r\n",
    302: b"HTTP/1.1 302 Found\r\n",
    307: b"HTTP/1.1 307 Temporary Redirect\r\n",
    308: b"HTTP/1.1 308 Permanent Redirect\r\n",
}

_UNSAFE = re.compile(r"[^!-~]")  # would end or break a header; stores hold none


class ReadyAnswer(msgspec.Struct, frozen=True, gc=False):
    """The parts of a redirect and of its click that are the same for every visitor."""

    status: int
    fields: bytes  # header lines, as Starlette and uvicorn write them
    click: bytes  # members of the click's JSON
    expires_at: float | None  # Unix time in seconds


def cache_seconds(record: LinkRecord, now: float) -> int:
    """Return how long a browser may keep the redirect: never beyond the link's end."""
    seconds = record.cache_seconds
    if seconds is None:
        seconds = PERMANENT_SECONDS if record.redirect_status in PERMANENT else 0
    if record.expires_at is not None:
        seconds = min(seconds, max(0, int(record.expires_at - now)))
    return seconds


def redirect_headers(target: str, seconds: int) -> dict[str, str]:
    """Return the header fields of a redirect that may be kept for `seconds`."""
    return {"location": target, "cache-control": f"private, max-age={seconds}"}


def ready_answer(domain: int, code: str, record: LinkRecord, now: float) -> ReadyAnswer | None:
    """Return what can be prepared, or None for a link that needs a look at each visitor.

    None, too, where the link has not begun: what is prepared later holds from then on.
    """
    seconds = cache_seconds(record, now)
    needs_a_look = (
        record.password_hash
        or record.max_clicks is not None
        or record.forward_query
        or record.rules
        or (record.expires_at is not None and seconds)
        or (record.starts_at is not None and now < record.starts_at)
    )
    if record.state != "active" or needs_a_look:
        return None
    if record.target is None or _UNSAFE.search(record.target):
        return None
    lines = [
        f"{name}: {value}\r\n" for name, value in redirect_headers(record.target, seconds).items()
    ]
    return ReadyAnswer(
        status=record.redirect_status,
        fields="".join([*lines, "content-length: 0\r\n"]).encode(),
        click=link_members(domain, code, record),
        expires_at=record.expires_at,
    )
