"""`/urls/bulk`: create, change and delete many, all or nothing unless part of it is wanted."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from management import fields, pages, url_handlers
from management.bodies import read_object
from management.bulk_changes import BulkChanges, ItemsRefused, Outcome, WantedUrl
from management.errors import Conflict, Forbidden, Invalid, Malformed, NotFound
from management.resources import State, operation, principal_of
from management.url_repository import Content, Url
from shared.errors import DomainError
from shared.http import JSONResponse

MAX_ITEMS = 1000
MAX_BYTES = 4 << 20  # a thousand links of a usual length, or some hundred of the longest
MAX_TOLD = 100  # wrong items that one error names
READ_AT_ONCE = 50  # items checked before others get their turn on the event loop
URLS, IDS = "urls", "ids"


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one item, with the status that it would have had alone."""

    index: int
    status: int
    url: Url | None = None
    error: str | None = None
    details: dict[str, str] | None = None


class Results(msgspec.Struct, frozen=True):
    """What became of each item, in the order of the request."""

    succeeded: int
    failed: int
    results: list[Result]


@fields.accepts(type="null", description="A password is set one by one: to hash it takes long.")
def _no_password(value: object) -> None:
    if value is not None:
        raise ValueError("must be set one by one: to hash it takes long")


def _items(schema: fields.Schema, meaning: str) -> fields.Check:
    @fields.accepts(type="array", minItems=1, maxItems=MAX_ITEMS, items=schema, description=meaning)
    def check(value: object) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError("must be a list")  # noqa: TRY004 - every check raises the same
        if not 1 <= len(value) <= MAX_ITEMS:
            raise ValueError(f"must have 1 to {MAX_ITEMS} items")
        return value

    return check


def _without_password(body: fields.Body) -> fields.Body:
    return msgspec.structs.replace(body, checks={**body.checks, "password": _no_password})


NEW = _without_password(url_handlers.NEW)
CHANGES = fields.Body(
    checks={"id": fields.integer}
    | {
        name: check
        for name, check in _without_password(url_handlers.CHANGES).checks.items()
        if name != "short_code"
    },
    example={"id": 1, "tags": ["spring"]},
    required=frozenset({"id"}),
)
NEW_ITEMS = fields.Body(
    checks={URLS: _items(NEW.schema, "As `POST /urls` takes them.")},
    example={URLS: [NEW.example]},
    required=frozenset({URLS}),
    error=Invalid,
)
CHANGED_ITEMS = fields.Body(
    checks={URLS: _items(CHANGES.schema, "As `PUT /urls/{id}` takes them, but no other codes.")},
    example={URLS: [CHANGES.example]},
    required=frozenset({URLS}),
)
DELETED_ITEMS = fields.Body(
    checks={IDS: _items(fields.integer.schema, "Of URLs, each once.")},
    example={IDS: [1, 2]},
    required=frozenset({IDS}),
)
PARTIAL = {
    "partial": fields.Check(
        pages.parse_boolean,
        {
            **pages.parse_boolean.schema,
            "default": False,
            "description": "Carry out what can be, and answer 207 with the result of each item.",
        },
    )
}
QUERY = {name: check.schema for name, check in PARTIAL.items()}

Items = list[Any]
Read = Callable[[Any], Any]


@operation(
    list[Url] | Results,
    status=201,
    other_statuses=(207,),
    example=[url_handlers.HELLO],
    body=NEW_ITEMS,
    query=QUERY,
    errors=(Conflict, Forbidden),
    is_once=True,
    max_bytes=MAX_BYTES,
)
async def create_urls(request: Request[State]) -> Response:
    """Add up to 1,000 URLs."""
    items = NEW_ITEMS.read(await read_object(request, MAX_BYTES))[URLS]
    owner = principal_of(request).owner
    body = url_handlers.not_to_us(NEW, request)

    def read(item: dict[str, Any]) -> WantedUrl:
        values = body.read(item if owner is None else {"user_id": owner, **item})
        if owner is not None and values["user_id"] != owner:
            raise Forbidden("user_id must be your own")
        values.pop("password", None)
        user_id, code = values.pop("user_id"), values.pop("short_code", None)
        return WantedUrl(user_id, code, Content(**values))

    return await _answer(
        request, URLS, items, Invalid, _object(read), lambda bulk, wanted: bulk.create(wanted), 201
    )


@operation(
    list[Url] | Results,
    other_statuses=(207,),
    example=[url_handlers.HELLO],
    body=CHANGED_ITEMS,
    query=QUERY,
    errors=(NotFound,),
)
async def update_urls(request: Request[State]) -> Response:
    """Change up to 1,000 URLs, each what is given of it."""
    items = CHANGED_ITEMS.read(await read_object(request, MAX_BYTES))[URLS]
    owner = principal_of(request).owner
    body = url_handlers.not_to_us(CHANGES, request)
    seen: set[int] = set()

    def read(item: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if "short_code" in item:
            message = "short_code must be changed one by one"
            raise Malformed(message, {"short_code": message})
        values = body.read(item)
        url_id = _once_only(values.pop("id"), seen)
        if not values:
            raise Malformed("Nothing to change")
        if "password" in values:
            values["password_hash"] = values.pop("password")
        return url_id, values

    return await _answer(
        request,
        URLS,
        items,
        Malformed,
        _object(read),
        lambda bulk, wanted: bulk.update(wanted, owner),
        200,
    )


@operation(
    list[int] | Results,
    other_statuses=(207,),
    example=[1, 2],
    body=DELETED_ITEMS,
    query=QUERY,
    errors=(NotFound,),
)
async def delete_urls(request: Request[State]) -> Response:
    """Put up to 1,000 URLs in the trash; the answer is their ids."""
    items = DELETED_ITEMS.read(await read_object(request, MAX_BYTES))[IDS]
    owner = principal_of(request).owner
    seen: set[int] = set()

    def read(item: object) -> int:
        try:
            return _once_only(fields.integer(item), seen)
        except ValueError as problem:
            raise Malformed(str(problem)) from None

    return await _answer(
        request, IDS, items, Malformed, read, lambda bulk, wanted: bulk.delete(wanted, owner), 204
    )


def _object(read: Callable[[dict[str, Any]], Any]) -> Read:
    def read_item(item: object) -> Any:  # noqa: ANN401 - what `read` makes of it
        if not isinstance(item, dict):
            raise Malformed("must be an object")
        return read(item)

    return read_item


def _once_only(url_id: int, seen: set[int]) -> int:
    if url_id in seen:
        message = "id is given twice"
        raise Malformed(message, {"id": message})
    seen.add(url_id)
    return url_id


async def _answer(
    request: Request[State],
    name: str,
    items: Items,
    error: type[DomainError],
    read: Read,
    carry_out: Callable[[BulkChanges, Any], Coroutine[Any, Any, Outcome]],
    status: int,
) -> Response:
    """Read the items, carry them out, and answer; `status` is that of an item alone."""
    is_partial = pages.read_filters(request, PARTIAL).get("partial", False)
    wanted, errors = await _read_each(items, read)
    if errors and not is_partial:
        raise _refusal(name, errors, error)
    state = request.state
    bulk = BulkChanges(state["pool"], state["cache"], state["bus"], is_partial=is_partial)
    try:
        outcome = await carry_out(bulk, wanted)
    except ItemsRefused as refused:
        raise _refusal(name, refused.errors, error) from None
    if is_partial:
        return JSONResponse(_results(len(items), outcome, errors, status), 207)
    if status == 204:
        return JSONResponse([outcome.links[index].url.id for index in range(len(items))])
    return JSONResponse([outcome.links[index].url for index in range(len(items))], status)


async def _read_each(items: Items, read: Read) -> tuple[dict[int, Any], dict[int, DomainError]]:
    wanted: dict[int, Any] = {}
    errors: dict[int, DomainError] = {}
    for index, item in enumerate(items):
        if index % READ_AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            wanted[index] = read(item)
        except DomainError as problem:
            errors[index] = problem
    return wanted, errors


def _refusal(name: str, errors: Mapping[int, DomainError], error: type[DomainError]) -> DomainError:
    """Return one error of the status that all have, or else `error`; it names each field."""
    details: dict[str, str] = {}
    for index, each in sorted(errors.items())[:MAX_TOLD]:
        place = f"{name}[{index}]"
        if each.details:
            details |= {f"{place}.{field}": text for field, text in each.details.items()}
        else:
            details[place] = each.message
    place, text = next(iter(details.items()))
    kinds = {type(each) for each in errors.values()}
    kind = kinds.pop() if len(kinds) == 1 else error
    return kind(f"Nothing was changed: {len(errors)} wrong, {place}: {text}", details)


def _results(
    count: int, outcome: Outcome, errors: Mapping[int, DomainError], status: int
) -> Results:
    problems = {**errors, **outcome.errors}
    results = [
        Result(
            index, problems[index].status, None, problems[index].message, problems[index].details
        )
        if index in problems
        else Result(index, status, None if status == 204 else outcome.links[index].url)
        for index in range(count)
    ]
    return Results(count - len(problems), len(problems), results)
