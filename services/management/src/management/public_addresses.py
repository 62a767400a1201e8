"""Which addresses a webhook may be sent to: only such as everybody can reach.

The check is at the time of the connection and of the very addresses that are connected to, so a
name that changes its mind (DNS rebinding) gains nothing.
"""

import asyncio
import ipaddress
import socket
from ipaddress import IPv4Address, IPv6Address

from aiohttp.abc import AbstractResolver, ResolveResult

RESOLVE_SECONDS = 5.0
# An IPv4 address within an IPv6 one reaches that one: NAT64 (RFC 6052), 6to4 (RFC 3056).
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
COMPATIBLE = ipaddress.IPv6Network("::/96")


class NotPublic(OSError):
    """The host has an address that is not public; says which host, never which address."""


def is_public(text: str) -> bool:
    """Tell whether an address, in whatever disguise, is one of the public internet."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address in LOCAL_NAT64:
            return False
        inner = _inner(address)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inner(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in NAT64 or address in COMPATIBLE:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def check_literal(host: str) -> None:
    """Raise `NotPublic` where `host` is an address, in brackets or not, and not a public one."""
    try:
        public = is_public(host.strip("[]"))
    except ValueError:
        return  # a name: the resolver checks what it stands for
    if not public:
        raise NotPublic(f"{host} is not a public address")


class PublicResolver(AbstractResolver):
    """Resolves a name once; every address must be public, or none is used."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses to connect to; raises `NotPublic` and `OSError`."""
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM, family=family
            )
        if not all(is_public(str(sockaddr[0])) for *_, sockaddr in found):
            raise NotPublic(f"{host} has an address that is not public")
        return [
            ResolveResult(
                hostname=host,
                host=str(sockaddr[0]),
                port=port,
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, sockaddr in found
        ]

    async def close(self) -> None:
        """Nothing is kept."""
