"""Pages of a list: what part is asked for, and where the next one is."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from management import fields
from management.errors import Malformed
from shared.http import JSONResponse

MAX_PER_PAGE = 1000
MAX_PAGE = 1_000_000
NUMBERS = {  # the least and the most of each
    "per_page": (1, MAX_PER_PAGE),
    "page": (1, MAX_PAGE),
    "cursor": (0, fields.BIGINT_MAX),
    "page_num": (0, fields.BIGINT_MAX),
}
MEANINGS = {
    "per_page": "How many to show.",
    "page": "Which page, from 1; slower the further it is.",
    "cursor": "Show what comes after this id: as fast however far. It wins over `page`.",
    "page_num": "The old name of `cursor`.",
}


class Page(msgspec.Struct, frozen=True):
    """Part of a list ordered by id: after the id `after`, then `offset` rows further."""

    after: int
    offset: int
    limit: int


def read_page(request: Request[Any], default_per_page: int) -> Page:
    """Return the page a request asks for; raises `Malformed` naming the parameter."""
    # All of them before one is used: a wrong value is refused also where another wins.
    given = {name: _number(request.query_params, name) for name in NUMBERS}
    limit = given["per_page"] or default_per_page
    cursor = given["page_num"] if given["cursor"] is None else given["cursor"]
    if cursor is not None:
        return Page(cursor, 0, limit)
    return Page(0, ((given["page"] or 1) - 1) * limit, limit)


def parameters(
    default_per_page: int, filters: Mapping[str, fields.Check] = MappingProxyType({})
) -> dict[str, fields.Schema]:
    """Describe what `read_page` and `read_filters` read."""
    numbers: dict[str, fields.Schema] = {
        name: {
            "type": "integer",
            "minimum": least,
            "maximum": most,
            "description": MEANINGS[name],
            "deprecated": name == "page_num",
        }
        for name, (least, most) in NUMBERS.items()
    }
    numbers["per_page"] = {**numbers["per_page"], "default": default_per_page}
    return {name: check.schema for name, check in filters.items()} | numbers


def read_filters(request: Request[Any], readers: Mapping[str, fields.Check]) -> dict[str, Any]:
    """Return the filters given, by name; raises `Malformed` naming the parameter."""
    filters = {}
    for name, reader in readers.items():
        if name in request.query_params:
            try:
                filters[name] = reader(request.query_params[name])
            except ValueError as problem:
                message = f"{name} {problem}"
                raise Malformed(message, {name: message}) from None
    return filters


@fields.accepts(**fields.integer.schema)
def parse_id(value: str) -> int:
    """Read an id of a query."""
    return int(fields.integer(_parse_integer(value)))


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


def answer(request: Request[Any], page: Page, rows: Sequence[Any]) -> Response:
    """Return the page; `rows` hold one more than asked for where there is a next page."""
    shown = rows[: page.limit]
    headers = {}
    if len(rows) > page.limit:
        kept = [
            (name, value)
            for name, value in request.query_params.multi_items()
            if name not in {"page", "cursor", "page_num", "per_page"}
        ]
        query = urlencode([*kept, ("cursor", shown[-1].id), ("per_page", page.limit)])
        headers["Link"] = f'<{request.url.path.rstrip("/")}?{query}>; rel="next"'
    return JSONResponse(shown, headers=headers)


def _number(query: Mapping[str, str], name: str) -> int | None:
    if name not in query:
        return None
    least, most = NUMBERS[name]
    try:
        number = _parse_integer(query[name])
    except ValueError:
        number = None
    if number is None or not least <= number <= most:
        message = f"{name} must be an integer from {least} to {most}"
        raise Malformed(message, {name: message})
    return number


def _parse_integer(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 19):
        raise ValueError("must be an integer")
    return int(value)
