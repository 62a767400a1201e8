"""CSV files as typed rows: each field checked, each fault named by file, line and field."""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from shared.reserved_codes import is_reserved

MAX_INTEGER = 2**63 - 1  # PostgreSQL's bigint
FIRST_YEAR, LAST_YEAR = 1970, 2099

Parser = Callable[[str], object]
Row = tuple[object, ...]  # the number of its first line, then its values in the table's order


class BadFile(Exception):
    """The file can't be imported; the text names file, line and field."""

    def __init__(self, path: Path, line: int, field: str | None, reason: str) -> None:
        place = f"{path}, line {line}" + (f", field {field}" if field else "")
        super().__init__(f"{place}: {reason}")


class Column(msgspec.Struct, frozen=True):
    """A column of the file, and how its text becomes a value."""

    name: str
    parse: Parser


def read(path: Path, columns: Sequence[Column]) -> Iterator[Row]:
    """Yield the rows of `path`; raises `BadFile`, and `OSError` where it can't be read.

    The header names the columns, in any order.
    """
    # Bytes that are no UTF-8 become lone surrogates, which the fields' parsers refuse: so the
    # fault has a line.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        lines = csv.reader(file, strict=True)
        order: list[int] | None = None
        line = 1
        try:
            for fields in lines:
                if order is None:
                    order = _order(path, fields, columns)
                elif fields:  # an empty line holds nothing
                    yield (line, *_values(path, line, fields, columns, order))
                line = lines.line_num + 1
        except csv.Error as error:
            raise BadFile(path, line, None, f"no valid CSV ({error})") from None
        if order is None:
            raise BadFile(path, 1, None, "the header is missing")


def _order(path: Path, header: Sequence[str], columns: Sequence[Column]) -> list[int]:
    """Return where each of `columns` stands in the file."""
    names = [column.name for column in columns]
    for name in names:
        if name not in header:
            raise BadFile(path, 1, name, "the column is missing")
    for position, name in enumerate(header):
        if name not in names or name in header[:position]:
            raise BadFile(path, 1, name, f"the header must be {','.join(names)}")
    return [header.index(name) for name in names]


def _values(
    path: Path, line: int, fields: Sequence[str], columns: Sequence[Column], order: Sequence[int]
) -> Iterator[object]:
    if len(fields) != len(columns):
        reason = f"{len(fields)} fields where the header has {len(columns)}"
        raise BadFile(path, line, None, reason)
    for column, position in zip(columns, order, strict=True):
        try:
            yield column.parse(fields[position])
        except ValueError as error:
            raise BadFile(path, line, column.name, str(error)) from None


def integer(text: str) -> int:
    """Return a positive whole number."""
    if not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII) or not 0 < int(text) <= MAX_INTEGER:
        raise ValueError(f"{_quoted(text)} is no whole number from 1")
    return int(text)


def boolean(text: str) -> bool:
    """Return the value of `True` or `False`."""
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{_quoted(text)} is neither True nor False")
    return text.lower() == "true"


def time(text: str) -> datetime:
    """Return a date with its time of day; one without an offset is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{_quoted(text)} is no time like 2025-12-29 00:57:12") from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"the year must be {FIRST_YEAR} to {LAST_YEAR}")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def text(max_length: int) -> Parser:
    """Return a parser of texts of 1 to `max_length` characters that PostgreSQL can hold."""

    def parse(value: str) -> str:
        if not 0 < len(value) <= max_length:
            raise ValueError(f"must have 1 to {max_length} characters, it has {len(value)}")
        if "\0" in value:
            raise ValueError("holds a NUL character")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("is no valid UTF-8")
        return value

    return parse


def matching(pattern: str, max_length: int, meaning: str) -> Parser:
    """Return a parser of texts that match `pattern` as a whole; `meaning` says what that is."""
    check_text = text(max_length)

    def parse(value: str) -> object:
        if not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(f"{_quoted(value)} is no {meaning}")
        return check_text(value)

    return parse


def code(text: str) -> object:
    """Return a short code that visitors can reach."""
    if is_reserved(text):
        raise ValueError(f"{_quoted(text)} is a reserved word")
    return WELL_FORMED_CODE(text)


def json_object(text: str) -> str:
    """Return the text of a JSON object that PostgreSQL can hold."""
    try:
        msgspec.json.decode(text.encode(errors="strict"), type=dict[str, object])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise ValueError(f"{_quoted(text)} is no JSON object") from None
    if "\\u0000" in text:
        raise ValueError("holds a NUL character")
    return text


def without_mark(parse: Parser) -> Parser:
    """Return a parser that takes the mark off which an export puts before what looks a formula."""
    return lambda text: parse(re.sub(r"\A'(?=[=+\-@\t\r'])", "", text))


def optional(parse: Parser) -> Parser:
    """Return a parser for which an empty field is None."""
    return lambda text: parse(text) if text else None


def _quoted(text: str) -> str:
    shown = text if len(text) <= 40 else f"{text[:40]}…"
    return ascii(shown) if not shown.isprintable() else f"'{shown}'"


EMAIL = matching(r"[^@\s]+@[^@\s]+", 254, "address like ada@example.com")
WELL_FORMED_CODE = matching(r"[A-Za-z0-9_-]+", 64, "short code (letters, digits, _ and -)")
TARGET = matching(
    r"(?i:https?)://[!-~]+", 2_048, "absolute http or https address of visible ASCII characters"
)

USER_COLUMNS = (
    Column("id", integer),
    Column("username", text(255)),
    Column("email", EMAIL),
    Column("created_at", time),
)
URL_COLUMNS = (
    Column("id", integer),
    Column("user_id", integer),
    Column("short_code", code),
    Column("original_url", TARGET),
    Column("title", optional(text(10_000))),
    Column("is_active", boolean),
    Column("created_at", time),
    Column("updated_at", time),
)
EVENT_COLUMNS = (
    Column("id", integer),
    Column("url_id", optional(integer)),
    Column("user_id", optional(integer)),
    Column("event_type", without_mark(text(64))),
    Column("timestamp", time),
    Column("details", optional(json_object)),
)
