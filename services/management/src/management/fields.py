"""Checks of a body's fields: each returns the value to use, or raises `ValueError`.

Each carries the JSON schema (2020-12) of what it accepts, for the API's description. Where a rule
can't be said in a schema, the schema accepts more than the check.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from management.errors import Malformed
from shared.errors import DomainError

Schema = Mapping[str, Any]


class Check(msgspec.Struct, frozen=True):
    """A check of one value and the JSON schema that describes it."""

    accept: Callable[[Any], Any]
    schema: Schema

    def __call__(self, value: object) -> Any:  # noqa: ANN401 - whatever `accept` makes of it
        """Return the value to use; raises `ValueError`."""
        return self.accept(value)


def accepts(**schema: object) -> Callable[[Callable[[Any], Any]], Check]:
    """Make a function a `Check` by the JSON schema of what it accepts."""
    return lambda accept: Check(accept, schema)


BIGINT_MAX = 2**63 - 1
MAX_USERNAME = 255
MAX_EMAIL = 254
MAX_TITLE = 255
MAX_EVENT_TYPE = 64
MAX_KEY_NAME = 100
MAX_DETAILS_BYTES = 16 << 10
# A time in an answer; not JSON schema's `date-time`, which is that of RFC 3339 and has an offset.
Moment = Annotated[
    datetime,
    msgspec.Meta(
        extra_json_schema={
            "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?$",
            "description": "ISO 8601 in UTC, without offset.",
        }
    ),
]
EXAMPLE_TIME: Moment = datetime(2026, 4, 3, 12)  # noqa: DTZ001 - UTC without offset, as we show times

# A practical address: RFC 5321's quoted forms are not accepted by mail providers either.
_CONTROLS = r"\x00-\x1f\x7f-\x9f"
_ADDRESS = (
    rf"[^@\s{_CONTROLS},;<>\"()\[\]\\]{{1,64}}"
    rf"@(?:[^@\s{_CONTROLS}.,;<>\"()\[\]\\]{{1,63}}\.)+[^@\s{_CONTROLS}.\d]{{2,63}}"
)
_EMAIL = re.compile(rf"{_ADDRESS}\Z")
_NOT_BLANK = rf"^[^{_CONTROLS}]*[^\s{_CONTROLS}][^{_CONTROLS}]*$"


@accepts(type="integer", minimum=1, maximum=BIGINT_MAX)
def integer(value: object) -> int:
    """Accept an id: an integer from 1 to PostgreSQL's largest."""
    if type(value) is not int:
        raise ValueError("must be an integer")
    if not 1 <= value <= BIGINT_MAX:
        raise ValueError(f"must be between 1 and {BIGINT_MAX}")
    return value


@accepts(type="boolean")
def boolean(value: object) -> bool:
    """Accept true or false."""
    if type(value) is not bool:
        raise ValueError("must be true or false")
    return value


def text(limit: int) -> Check:
    """Accept a text of 1 to `limit` characters, not blank, without control characters."""

    @accepts(type="string", minLength=1, maxLength=limit, pattern=_NOT_BLANK)
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
    return Check(
        lambda value: None if value is None else check(value),
        {**check.schema, "type": [check.schema["type"], "null"]},
    )


@accepts(type=["string", "null"], maxLength=MAX_TITLE, pattern=rf"^$|{_NOT_BLANK}")
def title(value: object) -> str | None:
    """Accept a title: null, or a text that may be empty."""
    return value if value is None or value == "" else str(text(MAX_TITLE)(value))


@accepts(type="string", maxLength=MAX_EMAIL, pattern=f"^{_ADDRESS}$")
def email(value: object) -> str:
    """Accept an e-mail address."""
    address = str(text(MAX_EMAIL)(value))
    if not _EMAIL.match(address):
        raise ValueError("must be an e-mail address")
    return address


@accepts(type="object")
def json_object(value: object) -> dict[str, Any]:
    """Accept an object."""
    if not isinstance(value, dict):
        raise ValueError("must be an object")  # noqa: TRY004 - every check raises the same
    return value


@accepts(
    type="string",
    maxLength=40,
    description="An ISO 8601 time; without an offset it is UTC.",
    examples=["2030-01-01T00:00:00"],
)
def moment(value: object) -> datetime:
    """Accept an ISO 8601 time and return it in UTC; without an offset it is UTC."""
    try:
        given = datetime.fromisoformat(str(text(40)(value)))
        return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be an ISO 8601 time") from None


@accepts(
    **{**moment.schema, "description": "An ISO 8601 time to come; without an offset it is UTC."}
)
def future_time(value: object) -> datetime:
    """Accept an ISO 8601 time to come and return it in UTC."""
    given: datetime = moment(value)
    if given <= datetime.now(UTC):
        raise ValueError("must be in the future")
    return given


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


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """What a JSON body holds, to read it and to describe it.

    `implied` are required fields that an owner may leave out, since they can only be their own;
    `needs_one` says that a body without any of the fields is refused; `error` is raised where a
    field is wrong.
    """

    checks: Mapping[str, Check]
    example: Mapping[str, Any]
    required: frozenset[str] = frozenset()
    implied: frozenset[str] = frozenset()
    needs_one: bool = False
    error: type[DomainError] = Malformed

    def read(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the known fields of `body`; raises `error` that names every bad one."""
        return check_fields(body, self.checks, required=self.required, error=self.error)

    @property
    def schema(self) -> Schema:
        """The JSON schema of the body."""
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {name: check.schema for name, check in self.checks.items()},
            "examples": [self.example],
        }
        if self.required - self.implied:
            schema["required"] = sorted(self.required - self.implied)
        if self.needs_one:
            schema["anyOf"] = [{"required": [name]} for name in self.checks]
        if self.implied:
            names = ", ".join(sorted(self.implied))
            schema["description"] = f"With an owner's key {names} may be left out."
        return schema
