"""The lines of requests and batches, as the services write them."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shared.logs import JSONFormatter

LOGGER = "shared.request_log"


class Lines(logging.Handler):
    """Keeps every line."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JSONFormatter("tests"))
        self.written: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.written.append(self.format(record))

    def named(self, event: str, **facts: Any) -> list[dict[str, Any]]:
        decoded = [json.loads(line) for line in list(self.written)]
        wanted = {"event": event, **facts}
        return [line for line in decoded if wanted.items() <= line.items()]


@contextmanager
def kept() -> Iterator[Lines]:
    lines, logger = Lines(), logging.getLogger(LOGGER)
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.setLevel(level)
        logger.removeHandler(lines)
