"""Checks of a body's fields: each returns the value to use, or raises `ValueError`."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from management.errors import Malformed
from shared.errors import DomainError

Check = Callable[[object], Any]

BIGINT_MAX = 2**63 - 1
MAX_USERNAME = 255
MAX_EMAIL = 254
MAX_TITLE = 255
MAX_EVENT_TYPE = 64
MAX_KEY_NAME = 100
MAX_DETAILS_BYTES = 16 << 10

# A practical address: RFC 5321's quoted forms are not accepted by mail providers either.
_EMAIL = re.compile(
    r"[^@\s,;<>\"()\[\]\\]{1,64}@(?:[^@\s.,;<>\"()\[\]\\]{1,63}\.)+[^@\s.\d]{2,63}\Z"
)


def integer(value: object) -> int:
    """Accept an id: an integer from 1 to PostgreSQL's largest."""
    if type(value) is not int:
        raise ValueError("must be an integer")
    if not 1 <= value <= BIGINT_MAX:
        raise ValueError(f"must be between 1 and {BIGINT_MAX}")
    return value


def boolean(value: object) -> bool:
    """Accept true or false."""
    if type(value) is not bool:
        raise ValueError("must be true or false")
    return value


def text(limit: int) -> Check:
    """Accept a text of 1 to `limit` characters, not blank, without control characters."""

    def check(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("must be a string")  # noqa: TRY004 - every check raises the same
        if not value.strip():
            raise ValueError("must not be empty")
        if len(value) > limit:
            raise ValueError(f"must not be longer than {limit} characters")
        if any(unicodedata.category(character) in {"Cc", "Cs"} for character in value):
            raise ValueError("must not contain control characters")
        return value

    return check


def optional(check: Check) -> Check:
    """Accept null, too."""
    return lambda value: None if value is None else check(value)


def title(value: object) -> str | None:
    """Accept a title: null, or a text that may be empty."""
    return value if value is None or value == "" else str(text(MAX_TITLE)(value))


def email(value: object) -> str:
    """Accept an e-mail address."""
    address = str(text(MAX_EMAIL)(value))
    if not _EMAIL.match(address):
        raise ValueError("must be an e-mail address")
    return address


def json_object(value: object) -> dict[str, Any]:
    """Accept an object."""
    if not isinstance(value, dict):
        raise ValueError("must be an object")  # noqa: TRY004 - every check raises the same
    return value


def future_time(value: object) -> datetime:
    """Accept an ISO 8601 time to come; without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(str(text(40)(value)))
    except ValueError:
        raise ValueError("must be an ISO 8601 time") from None
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment <= datetime.now(UTC):
        raise ValueError("must be in the future")
    return moment


def check_fields(
    body: Mapping[str, Any],
    checks: Mapping[str, Check],
    *,
    required: frozenset[str] = frozenset(),
    error: type[DomainError] = Malformed,
) -> dict[str, Any]:
    """Return the known fields of `body`; raises `error` that names every bad one."""
    values: dict[str, Any] = {}
    details: dict[str, str] = {}
    for name, check in checks.items():
        if name not in body:
            if name in required:
                details[name] = f"{name} is required"
            continue
        try:
            values[name] = check(body[name])
        except ValueError as problem:
            details[name] = f"{name} {problem}"
    if details:
        raise error("; ".join(details.values()), details)
    return values
