"""Clicks as a redirector would send them, of many links, browsers and places. No I/O."""

import random
import time
from collections.abc import Iterator

from bench.links import code
from redirector.click_encoder import ClickEncoder, link_members, quoted
from redirector.visitors import Visitors
from shared.events import DEFAULT_DOMAIN, LinkRecord

LINKS = 1_000
FRAME_CLICKS = 500  # about what one read of the journal holds under load
VERSIONS = range(120, 150)
SYSTEMS = (
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "Linux; Android 15; Pixel 9",
)
LANGUAGES = ("en-GB,en;q=0.9", "de-AT,de;q=0.9", "fr-FR", "es", "ja-JP,ja;q=0.8", "pt-BR")
REFERRERS = tuple(f"https://site{number}.example.com/page" for number in range(40))


def frames(clicks: int, seed: int) -> Iterator[tuple[int, bytes]]:
    """Return frames of in all so many clicks: how many each holds, and its JSON array.

    A link is the more popular the lower its number (Zipf, exponent 1).
    """
    chance = random.Random(seed)  # noqa: S311 - no secret
    encoder, visitors = ClickEncoder(), _visitors()
    links = [
        link_members(DEFAULT_DOMAIN, code(number), _record(number + 1)) for number in range(LINKS)
    ]
    left = clicks
    while left:
        count = min(left, FRAME_CLICKS)
        left -= count
        yield count, b"[%b]" % b",".join(_click(chance, encoder, visitors, links, count))


def _click(
    chance: random.Random,
    encoder: ClickEncoder,
    visitors: Visitors,
    links: list[bytes],
    count: int,
) -> Iterator[bytes]:
    for _ in range(count):
        agent = (
            f"Mozilla/5.0 ({chance.choice(SYSTEMS)}) AppleWebKit/537.36 (KHTML, like Gecko) "
            f"Chrome/{chance.choice(VERSIONS)}.0.0.0 Safari/537.36"
        )
        headers = {
            b"user-agent": agent.encode(),
            b"accept-language": chance.choice(LANGUAGES).encode(),
            b"referer": chance.choice(REFERRERS).encode(),
        }
        address = f"{chance.randrange(1, 223)}.{chance.randrange(256)}.7.7"
        request_id = b"%032x" % chance.getrandbits(128)
        yield encoder.encode(
            links[int(LINKS ** chance.random()) - 1],
            visitors.members(headers, address),
            request_id,
            quoted(request_id),
            b"%.3f" % time.time(),
        )


def _record(url_id: int) -> LinkRecord:
    return LinkRecord(version=1, state="active", cached_at=0.0, url_id=url_id, user_id=1)


def _visitors() -> Visitors:
    return Visitors(trusted_proxies="", address_policy="anonymized", honour_opt_out=False)
