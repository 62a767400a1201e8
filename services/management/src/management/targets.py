"""Where a link may lead. Parsed once; what is stored is what was checked. No I/O."""

import ipaddress
import re
from functools import cache
from urllib.parse import SplitResult, quote, urlsplit

import idna
from publicsuffixlist import PublicSuffixList

from management.fields import Check

MAX_LENGTH = 2048
SCHEMA = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_LENGTH,
    "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s\\]+$",
    "description": "An absolute http or https URL with a public host name: no credentials, no IP "
    "address, not Shortwire itself.",
    "examples": ["https://example.com/hello"],
}
HOST_SCHEMA = {
    "type": "string",
    "minLength": 1,
    "maxLength": 253,
    "description": "A host, or the end of host names.",
    "examples": ["evil.example"],
}
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
# A host whose last label is a number is an IPv4 address to a browser, however it is written
# (WHATWG URL Standard, section 3.5, "ends in a number").
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")


def check(value: object, own_hosts: frozenset[str]) -> str:
    """Return the target in re-serialised form; raises `ValueError` with a sentence."""
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004 - every check raises the same
    if not value or len(value) > MAX_LENGTH:
        raise ValueError(f"must be 1 to {MAX_LENGTH} characters")
    # urlsplit drops some of these silently, and browsers read a backslash as a slash.
    if any(ord(character) <= 0x20 or 0x7F <= ord(character) <= 0xA0 for character in value):
        raise ValueError("must not contain spaces or control characters")
    if "\\" in value:
        raise ValueError("must not contain a backslash")
    parts = _split(value)
    host = _host(parts)
    if host in own_hosts:
        raise ValueError("must not lead to this service itself")
    rest = value[len(f"{parts.scheme}://{parts.netloc}") :]
    port = f":{parts.port}" if parts.port is not None else ""
    target = f"{parts.scheme}://{host}{port}{quote(rest, safe=_PRINTABLE)}"
    if len(target) > MAX_LENGTH:
        raise ValueError(f"must be at most {MAX_LENGTH} characters in its ASCII form")
    return target


def outside(own_hosts: frozenset[str]) -> Check:
    """Return the check of a target that must not be on one of `own_hosts`."""
    return Check(lambda value: check(value, own_hosts), SCHEMA)


anywhere = outside(frozenset())


def _split(value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("must be a valid URL") from None
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ValueError("must be an absolute http or https URL")
    if "@" in parts.netloc:
        raise ValueError("must not contain credentials")
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("must have a valid port or none")
    return parts


def host(name: str) -> str:
    """Return a host's name, or a part of names that ends them, in ASCII and lower case.

    Raises `ValueError` with a sentence.
    """
    ascii_name = _ascii(name.rstrip("."))
    if not all(_LABEL.match(label) for label in ascii_name.split(".")):
        raise ValueError("must be a valid host")
    return ascii_name


def _ascii(name: str) -> str:
    if _is_address(name):
        raise ValueError("must name a host, not an IP address")
    try:
        ascii_name = idna.encode(name, uts46=True, std3_rules=True).decode().lower()
    except (idna.IDNAError, UnicodeError):
        raise ValueError("must have a valid host") from None
    if _is_address(ascii_name):  # full-width digits become digits
        raise ValueError("must name a host, not an IP address")
    return ascii_name


def _host(parts: SplitResult) -> str:
    host = _ascii((parts.hostname or "").rstrip("."))
    if "." not in host or not all(_LABEL.match(label) for label in host.split(".")):
        raise ValueError("must have a host with a dot and a valid top-level domain")
    suffix = _public_suffixes().publicsuffix(host)
    if suffix is None or suffix == host or host.endswith((".arpa", ".onion")):
        raise ValueError("must have a host with a dot and a valid top-level domain")
    return host


def _is_address(host: str) -> bool:
    if ":" in host or _NUMBER.match(host.rpartition(".")[2]):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@cache
def _public_suffixes() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=False, only_icann=True)
