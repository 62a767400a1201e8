"""What may be set of a measurement; each from the environment or by a flag."""

from pathlib import Path
from typing import Annotated

import msgspec

from shared import settings

Numbers = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]+(,[0-9]+)*\Z")]


class Settings(settings.Settings, frozen=True, kw_only=True):
    """`seconds` is the length of one contender's turn in one round.

    `links` and `events` are how many there are at the steps of `growth`, ascending.
    """

    rounds: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5
    seconds: Annotated[float, msgspec.Meta(gt=0, le=600)] = 4.0
    connections: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 32
    links: Numbers = "1000,100000,10000000"
    events: Numbers = "10000,10000000"
    only: str = ""  # names of contenders with commas between; empty: all
    results: Path = Path("bench/results.json")

    def growth_links(self) -> list[int]:
        """Return the steps of `links`."""
        return [int(number) for number in self.links.split(",")]

    def growth_events(self) -> list[int]:
        """Return the steps of `events`."""
        return [int(number) for number in self.events.split(",")]
