"""What may be set of a measurement; each from the environment or by a flag."""

from pathlib import Path
from typing import Annotated

import msgspec

from shared import settings


class Settings(settings.Settings, frozen=True, kw_only=True):
    """`seconds` is the length of one contender's turn in one round."""

    rounds: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5
    seconds: Annotated[float, msgspec.Meta(gt=0, le=600)] = 4.0
    connections: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 32
    only: str = ""  # names of contenders with commas between; empty: all
    results: Path = Path("bench/results.json")
