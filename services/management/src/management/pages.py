"""Pages of a list: what part is asked for, and where the next one is."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from management import fields, orders
from management.errors import Malformed
from management.orders import Kinds, Mark, Order
from shared.http import JSONResponse

MAX_PER_PAGE = 1000
MAX_PAGE = 1_000_000
MAX_NAME = 64  # of a parameter that is not there, in an answer
CURSOR = "cursor"
OLD_CURSOR = "page_num"
NUMBERS = {  # the least and the most of each
    "per_page": (1, MAX_PER_PAGE),
    "page": (1, MAX_PAGE),
    CURSOR: (0, fields.BIGINT_MAX),
    OLD_CURSOR: (0, fields.BIGINT_MAX),
}
MEANINGS = {
    "per_page": "How many to show.",
    "page": "Which page, from 1; slower the further it is.",
    CURSOR: "Show what comes after this id: as fast however far. It wins over `page`.",
    OLD_CURSOR: "The old name of `cursor`.",
}
SORTED_CURSOR = "With `sort` it is no id: take it from `Link` or `X-Next-Cursor`."
HEADERS = ("Link", "X-Next-Cursor")  # of a page that is not the last
NO_KINDS: Kinds = MappingProxyType({})
NO_FILTERS: Mapping[str, fields.Check] = MappingProxyType({})


class Page(msgspec.Struct, frozen=True):
    """Part of a list: after the id `after`, then `offset` rows further.

    In an order other than by id, `mark` is where it goes on, None on the first page.
    """

    after: int
    offset: int
    limit: int
    order: Order | None = None
    mark: Mark | None = None


def read_page(request: Request[Any], default_per_page: int, kinds: Kinds = NO_KINDS) -> Page:
    """Return the page a request asks for; raises `Malformed` naming the parameter.

    `kinds` are the fields that the list may be ordered by, beside the id.
    """
    query = _query(request)
    order = read_filters(request, {"sort": orders.parser(kinds)}).get("sort") if kinds else None
    # All of them before one is used: a wrong value is refused also where another wins.
    given = {
        name: _number(query, name)
        for name in NUMBERS
        if order is None or name not in {CURSOR, OLD_CURSOR}
    }
    limit = given["per_page"] or default_per_page
    offset = ((given["page"] or 1) - 1) * limit
    if order is not None:
        mark = _mark(query, order, kinds)
        return Page(0, 0 if mark else offset, limit, order, mark)
    cursor = given[OLD_CURSOR] if given[CURSOR] is None else given[CURSOR]
    return Page(0, offset, limit) if cursor is None else Page(cursor, 0, limit)


def parameters(
    default_per_page: int,
    filters: Mapping[str, fields.Check] = NO_FILTERS,
    kinds: Kinds = NO_KINDS,
) -> dict[str, fields.Schema]:
    """Describe what `read_page` and `read_filters` read."""
    described = {name: _described(name) for name in NUMBERS}
    described["per_page"] = per_page(default_per_page)
    sort = {"sort": orders.parser(kinds).schema} if kinds else {}
    if kinds:
        described[CURSOR] |= {
            "type": ["integer", "string"],
            "pattern": f"^{orders.CURSOR_PATTERN}$",
            "description": f"{MEANINGS[CURSOR]} {SORTED_CURSOR}",
        }
    return {name: check.schema for name, check in filters.items()} | sort | described


def per_page(default: int) -> dict[str, Any]:
    """Describe what `read_per_page` reads."""
    return {**_described("per_page"), "default": default}


def _described(name: str) -> dict[str, Any]:
    least, most = NUMBERS[name]
    return {
        "type": "integer",
        "minimum": least,
        "maximum": most,
        "description": MEANINGS[name],
        "deprecated": name == OLD_CURSOR,
    }


def read_filters(request: Request[Any], readers: Mapping[str, fields.Check]) -> dict[str, Any]:
    """Return the filters given, by name; raises `Malformed` naming the parameter.

    What is described as an array may be given more than once.
    """
    query = _query(request)
    filters = {}
    for name, reader in readers.items():
        if name in query:
            is_list = reader.schema.get("type") == "array"
            values = query.getlist(name)
            try:
                filters[name] = reader(values if is_list else values[-1])
            except ValueError as problem:
                raise _wrong(name, str(problem)) from None
    return filters


@fields.accepts(**fields.integer.schema)
def parse_id(value: str) -> int:
    """Read an id of a query."""
    return int(fields.integer(parse_integer(value)))


@fields.accepts(**fields.boolean.schema)
def parse_boolean(value: str) -> bool:
    """Read `true` or `false`."""
    if value not in {"true", "false"}:
        raise ValueError("must be true or false")
    return value == "true"


@fields.accepts(
    type="string",
    enum=["true", "false", "all"],
    default="false",
    description="Whether to show archived ones: only these, none of these, or both.",
)
def parse_archived(value: str) -> str:
    """Read `true`, `false` or `all`."""
    if value not in {"true", "false", "all"}:
        raise ValueError("must be true, false or all")
    return value


@fields.accepts(**fields.text(fields.MAX_TITLE).schema)
def parse_text(value: str) -> str:
    """Read a short text."""
    return str(fields.text(fields.MAX_TITLE)(value))


@fields.accepts(
    type="string",
    maxLength=40,
    description="An ISO 8601 time; without an offset it is UTC.",
    examples=["2026-04-03T12:00:00"],
)
def parse_time(value: str) -> datetime:
    """Read a time; returns it in UTC."""
    try:
        text = str(fields.text(40)(value))
        # A "+" in a query arrives as a space; the one between date and time may be one.
        moment = datetime.fromisoformat(text[:11] + text[11:].replace(" ", "+"))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be an ISO 8601 time") from None


def answer(
    request: Request[Any],
    page: Page,
    rows: Sequence[Any],
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    """Return the page; `rows` hold one more than asked for where there is a next page."""
    shown = rows[: page.limit]
    if len(rows) > page.limit:
        last = shown[-1]
        cursor = orders.cursor_after(page.order, last) if page.order else str(last.id)
        headers = {**headers, **onward(request, cursor, page.limit)}
    return JSONResponse(shown, headers=headers)


def onward(request: Request[Any], cursor: str, limit: int) -> Mapping[str, str]:
    """Return the headers that say where the next page is: of this request, after `cursor`."""
    kept = [(name, value) for name, value in _query(request).multi_items() if name not in NUMBERS]
    query = urlencode([*kept, (CURSOR, cursor), ("per_page", limit)])
    link = f'<{request.url.path.rstrip("/")}?{query}>; rel="next"'
    return {"Link": link, "X-Next-Cursor": cursor}


def read_per_page(request: Request[Any], default: int) -> int:
    """Return how many to show; raises `Malformed`."""
    return _number(_query(request), "per_page") or default


def _query(request: Request[Any]) -> QueryParams:
    """Return the parameters; raises `Malformed` where one is not UTF-8.

    Starlette's own have another character in the place of wrong bytes.
    """
    raw: bytes = request.scope["query_string"]
    try:
        return QueryParams(_pairs(raw))
    except UnicodeDecodeError:
        name = next(part for part in raw.split(b"&") if not _is_utf8(part)).partition(b"=")[0]
        raise _wrong(name[:MAX_NAME].decode("ascii", "backslashreplace"), "must be UTF-8") from None


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    return parse_qsl(raw.decode(), keep_blank_values=True, errors="strict")


def _is_utf8(part: bytes) -> bool:
    try:
        _pairs(part)
    except UnicodeDecodeError:
        return False
    return True


def _mark(query: Mapping[str, str], order: Order, kinds: Kinds) -> Mark | None:
    mark = None
    for name in (OLD_CURSOR, CURSOR):
        if name in query:
            try:
                mark = orders.read_cursor(order, kinds, query[name])
            except ValueError as problem:
                raise _wrong(name, str(problem)) from None
    return mark


def _number(query: Mapping[str, str], name: str) -> int | None:
    if name not in query:
        return None
    least, most = NUMBERS[name]
    try:
        number = parse_integer(query[name])
    except ValueError:
        number = None
    if number is None or not least <= number <= most:
        raise _wrong(name, f"must be an integer from {least} to {most}")
    return number


def _wrong(name: str, problem: str) -> Malformed:
    message = f"{name} {problem}"
    return Malformed(message, {name: message})


def parse_integer(value: str) -> int:
    """Read a whole number of a query; raises `ValueError`."""
    if not (value.isascii() and value.isdigit() and len(value) <= 19):
        raise ValueError("must be an integer")
    return int(value)
