"""How far a listener is with the streams of clicks; as text it is the id of a server-sent event.

No I/O.
"""

import re
import sys
from collections.abc import Mapping

from management.errors import Malformed
from shared import streams
from shared.click_streams import NAMES

Position = tuple[int, int, int]  # a frame's id in its two parts, and the click's number in it
Positions = Mapping[str, Position]  # by stream

BEGIN: Position = (0, 0, 0)
ALL_OF_IT = sys.maxsize  # the number of a frame's last click, whatever it is
_POSITION = re.compile(r"(?:(\d{1,2}):)?(\d{1,19})-(\d{1,19})(?:/(\d{1,9}))?\Z", re.ASCII)


def parts(entry_id: bytes) -> tuple[int, int]:
    """Return an entry's id in its two parts."""
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence)


def end_of(entry_id: bytes) -> Position:
    """Return the position after all clicks of a frame."""
    return (*parts(entry_id), ALL_OF_IT)


def write_positions(positions: Positions) -> str:
    """Return positions as text: `1795521458084-0/3`, the third click of a frame of `clicks`.

    `2:1795521458084-0` is the end of a frame of `clicks:{2}`. Commas are between.
    """
    return ",".join(_written(*each) for each in positions.items() if each[1] != BEGIN)


def _written(stream: str, position: Position) -> str:
    milliseconds, sequence, click = position
    name = "" if stream == streams.CLICKS else f"{NAMES.index(stream) - 1}:"
    number = "" if click == ALL_OF_IT else f"/{click}"
    return f"{name}{milliseconds}-{sequence}{number}"


def parse_positions(text: str) -> Positions:
    """Read what `write_positions` wrote; raises `Malformed`."""
    try:
        return dict(_read(part) for part in text.split(",", len(NAMES)))
    except ValueError:
        message = "Last-Event-ID must be the id of an event of this stream"
        raise Malformed(message, {"Last-Event-ID": message}) from None


def _read(text: str) -> tuple[str, Position]:
    match = _POSITION.match(text)
    if match is None:
        raise ValueError(text)
    number, milliseconds, sequence, click = match.groups()
    index = 0 if number is None else int(number) + 1
    if index >= len(NAMES):
        raise ValueError(text)
    return NAMES[index], (int(milliseconds), int(sequence), int(click or ALL_OF_IT))
