"""One JSON object a line on standard error: a stable event name, and facts as fields."""

import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from shared import checkpoints

MAX_CHARACTERS = 512  # of a text in a line
MAX_TRACEBACK_CHARACTERS = 16_384

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LEFT_OUT = _STANDARD | {"color_message"}  # uvicorn's text once more, for a terminal
# Passwords in addresses of stores, and the secret part of our keys.
_SECRETS = re.compile(r"(://[^:/@\s]*:)[^/@\s]+(?=@)|(\bsw_[0-9a-f]{12}_)[\w-]+")
# What JSON leaves as it is, and a terminal or a viewer takes for a command or the end of a line.
_ACTIVE = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class JSONFormatter(logging.Formatter):
    """Encode a record and its `extra` as JSON, so that no input can forge a line.

    Secrets are left out and texts are cut. Within a request its id is added, and its trace's.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        extra = {key: value for key, value in vars(record).items() if key not in _LEFT_OUT}
        line = {
            **checkpoints.identity(),
            **extra,
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self.service,
            "event": record.getMessage(),
        }
        line = {key: _clean(line[key]) for key in ("at", "level", "service", "event", *line)}
        if record.exc_info:
            traceback = self.formatException(record.exc_info)
            line["exception"] = _clean_text(traceback, MAX_TRACEBACK_CHARACTERS)
        return msgspec.json.encode(line).decode()


def _clean(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    if isinstance(value, BaseException):  # its repr need not have the text: redis-py's has not
        value = f"{type(value).__name__}: {value}" if str(value) else type(value).__name__
    return _clean_text(value if isinstance(value, str) else repr(value), MAX_CHARACTERS)


def _clean_text(text: str, limit: int) -> str:
    text = _SECRETS.sub(r"\1\2…", text)  # before it is cut: half an address is none
    if len(text) > limit:
        text = f"{text[: limit - 1]}…"
    return _ACTIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def configure(service: str, level: str = "INFO") -> None:
    """Send every logger's records to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
