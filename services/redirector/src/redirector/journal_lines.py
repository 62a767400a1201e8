"""How clicks stand in a journal's files.

A segment is a text file. A line holds the clicks that were recorded together: a CRC-32 of what
follows in 8 hex digits, how many they are, and their JSON objects with commas between.
"""

import zlib
from pathlib import Path

import msgspec

CHECKSUM_LENGTH = 9  # 8 hex digits and a space
SUFFIX = ".journal"


class Position(msgspec.Struct, frozen=True, order=True):
    """A place in a journal: a segment's number and a byte offset in it."""

    segment: int
    offset: int


def segment_path(folder: Path, number: int) -> Path:
    """Return the file of segment `number`."""
    return folder / f"{number:012d}{SUFFIX}"


def segments(folder: Path) -> list[int]:
    """Return the numbers of the segments in `folder`, ascending."""
    return sorted(int(path.stem) for path in folder.glob(f"*{SUFFIX}"))


class Line(msgspec.Struct, frozen=True):
    """Some clicks: JSON objects with commas between, which hold no line feed."""

    count: int
    payload: bytes


class Batch(msgspec.Struct, frozen=True):
    """Lines in the order they were written, and the position behind them."""

    lines: list[Line]
    position: Position
    corrupt: int = 0  # lines whose checksum is wrong: a power cut's torn tail


def encode_line(line: Line) -> bytes:
    """Return the line as it stands in a segment."""
    body = b"%d %b" % (line.count, line.payload)
    return b"%08x %b\n" % (zlib.crc32(body), body)


def decode_line(raw: bytes) -> Line | None:
    """Return what a line without its line feed holds, or None where it is corrupt."""
    body = raw[CHECKSUM_LENGTH:]
    if raw[:CHECKSUM_LENGTH] != b"%08x " % zlib.crc32(body):
        return None
    count, _, payload = body.partition(b" ")
    return Line(int(count), payload)
