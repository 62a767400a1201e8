"""Names on the bus, each written once."""

from datetime import date
from typing import TypeAlias

Entries: TypeAlias = list[tuple[bytes, dict[bytes, bytes]]]  # id, fields

CLICKS = "clicks"  # one entry is one frame: a JSON array of clicks
MAX_CLICK_STREAMS = 16
CLICKS_BATCH = b"batch"  # field of an entry of CLICKS: the array
CLICKS_COUNT = b"n"  # how many clicks the array holds
CLICKS_SCHEMA = b"v"  # version of the frame's layout
CLICKS_SCHEMA_VERSION = 1
CLICKS_DEAD = "clicks.dead"  # what could not be stored, with the reason
INGEST_GROUP = "ingest"

LINKS = "links"  # every change of a link, and the relay's heartbeat
LINKS_MESSAGE = b"message"
LINKS_MAXLEN = 100_000  # a follower further behind sees the gap and starts afresh

ORPHANS_REST = "*"  # no code: what is counted beyond the limit of codes


def click_streams(count: int) -> list[str]:
    """Return the names of so many streams of clicks.

    What stands in braces is what a Redis Cluster tells them apart by, to spread them over nodes.
    """
    return [CLICKS] if count == 1 else [f"{CLICKS}:{{{number}}}" for number in range(count)]


def orphans_key(domain: int, day: date) -> str:
    """Return the name of the hash that counts a UTC day's visits to codes without a link."""
    return f"orphans:{domain}:{day}"
