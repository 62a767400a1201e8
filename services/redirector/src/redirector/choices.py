"""Which target a link has for one visitor. No I/O."""

import hashlib
from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit, urlunsplit

import msgspec

from shared.events import LinkRecord, Rule


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """What a link's rules can ask about; empty is what could not be told.

    `identity` stays the same for one visitor, so that a share of them is always the same people.
    """

    identity: str
    device: str = ""
    system: str = ""
    language: str = ""
    country: str = ""


def target_of(record: LinkRecord, url_id: int, visitor: Visitor) -> str:
    """Return the target of the first rule that takes the visitor, else the link's own."""
    assert record.target is not None
    for number, rule in enumerate(record.rules):
        if _meets(rule, visitor) and _draw(url_id, number, visitor.identity) < rule.percent:
            return rule.target
    return record.target


def with_query(target: str, query: str) -> str:
    """Append a visitor's query string to a target's own."""
    if not query:
        return target
    parts: SplitResult = urlsplit(target)
    return urlunsplit(parts._replace(query=f"{parts.query}&{query}" if parts.query else query))


def _meets(rule: Rule, visitor: Visitor) -> bool:
    return (
        _accepts(rule.devices, visitor.device)
        and _accepts(rule.systems, visitor.system)
        and _accepts(rule.countries, visitor.country)
        and _accepts_language(rule.languages, visitor.language)
    )


def _accepts(wanted: Collection[str], value: str) -> bool:
    return not wanted or value in wanted


def _accepts_language(wanted: Collection[str], language: str) -> bool:
    """Accept `de-at` where `de` is wanted (RFC 4647, section 3.3.1, basic filtering)."""
    return not wanted or any(language == tag or language.startswith(f"{tag}-") for tag in wanted)


def _draw(url_id: int, number: int, identity: str) -> int:
    """Return 0 to 99, evenly spread over visitors, and another one for each rule."""
    digest = hashlib.blake2b(f"{url_id}/{number}/{identity}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % 100
