"""What may be known of a visitor: from where they come, and with what. No I/O."""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from shared.events import encoder

AddressPolicy = Literal["none", "anonymized", "full"]

HEADERS = (
    b"x-request-id",
    b"x-request-start",
    b"x-forwarded-for",
    b"referer",
    b"user-agent",
    b"accept-language",
    b"dnt",
    b"sec-gpc",
    b"traceparent",
    b"sec-purpose",
    b"purpose",
    b"x-moz",
)
MAX_FIELD_CHARACTERS = 512
MAX_LANGUAGE_CHARACTERS = 35  # of the longest tag that RFC 5646 gives an example of
REMEMBERED = 4_096  # pieces of each kind; a popular link's visitors use few browsers
# So many bits of an address stay: the other ones tell people apart, these tell networks.
KEPT_BITS = {4: 24, 6: 48}


class Visitors:
    """Tells visitors' addresses, and writes what a click says of them.

    `trusted_proxies` are addresses or networks with commas between, `*` for any: only their
    `X-Forwarded-For` counts. `honour_opt_out`: of who sends `DNT: 1` or `Sec-GPC: 1` only the
    click itself is noted.
    """

    def __init__(
        self, *, trusted_proxies: str, address_policy: AddressPolicy, honour_opt_out: bool
    ) -> None:
        self._trusts_all = trusted_proxies.strip() == "*"
        self._trusted = [
            ipaddress.ip_network(each.strip())
            for each in trusted_proxies.split(",")
            if each.strip() not in {"", "*"}
        ]
        self._policy = address_policy
        self._honour_opt_out = honour_opt_out

    def is_trusted(self, peer: str) -> bool:
        """Tell whether `peer` may name the visitor's address."""
        if self._trusts_all:
            return True
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._trusted)

    def address(self, peer: str, headers: Mapping[bytes, bytes], *, is_trusted: bool) -> str:
        """Return the visitor's address: `peer`'s, or what a trusted peer says last."""
        forwarded = headers.get(b"x-forwarded-for")
        if not is_trusted or not forwarded:
            return peer
        return forwarded.rpartition(b",")[2].strip().decode("latin-1")

    def members(self, headers: Mapping[bytes, bytes], address: str) -> bytes:
        """Return the members of a click's JSON about a visitor, a comma before each."""
        if self._honour_opt_out and b"1" in {headers.get(b"dnt"), headers.get(b"sec-gpc")}:
            return b""
        referrer, agent = headers.get(b"referer"), headers.get(b"user-agent")
        language = headers.get(b"accept-language")
        return b"%b%b%b%b" % (
            _referrer(referrer) if referrer else b"",
            _agent(agent) if agent else b"",
            _address(address, self._policy) if self._policy != "none" else b"",
            _language(language) if language else b"",
        )


def first_language(accepted: str) -> str:
    """Return the tag that an Accept-Language header puts first, in lower case; may be empty."""
    tag = accepted.partition(",")[0].partition(";")[0].strip().lower()
    return "" if tag == "*" else tag[:MAX_LANGUAGE_CHARACTERS]


def anonymize(address: str) -> str | None:
    """Return the network of an address, or None where it is none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    network = ipaddress.ip_network((parsed, KEPT_BITS[parsed.version]), strict=False)
    return str(network.network_address)


@lru_cache(REMEMBERED)
def _referrer(referrer: bytes) -> bytes:
    # Scheme and host: the rest of an address may hold what is none of our business.
    return _member("referrer", b"/".join(referrer.split(b"/", 3)[:3]).decode("latin-1"))


@lru_cache(REMEMBERED)
def _agent(agent: bytes) -> bytes:
    return _member("user_agent", agent.decode("latin-1"))


@lru_cache(REMEMBERED)
def _language(accepted: bytes) -> bytes:
    language = first_language(accepted.decode("latin-1"))
    return _member("language", language) if language else b""


@lru_cache(REMEMBERED)
def _address(address: str, policy: AddressPolicy) -> bytes:
    shown = anonymize(address)
    if shown is None:
        return b""
    return _member("address", address if policy == "full" else shown)


def _member(name: str, value: str) -> bytes:
    return b',"%b":%b' % (name.encode(), encoder.encode(value[:MAX_FIELD_CHARACTERS]))
