"""Log files with a bound: the newest part is kept in place, one older part beside it."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

MAX_BYTES = 32 << 20


def trim(paths: Iterable[Path], max_bytes: int = MAX_BYTES) -> None:
    """Move the content of each file larger than `max_bytes` to `<name>.1`.

    Every writer appends, so it goes on at the new end; a line written in between may be lost.
    """
    for path in paths:
        if path.stat().st_size > max_bytes:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            os.truncate(path, 0)
