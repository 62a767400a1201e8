"""Read a request's body within its limit."""

import json
from typing import Any

import msgspec
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

from management.errors import Malformed, TooLarge
from shared.errors import DomainError

MAX_JSON_BYTES = 64 << 10
MAX_UPLOAD_BYTES = 16 << 20


class Upload(msgspec.Struct, frozen=True):
    """The file `field` of a multipart form, as `read_upload` reads it."""

    field: str
    media_type: str
    meaning: str
    example: str
    error: type[DomainError]  # of what is wrong inside of it


async def read_body(request: Request[Any], limit: int) -> bytes:
    """Return the body; raises `TooLarge` where it has more than `limit` bytes."""
    return await Request(request.scope, _limited(request.receive, limit)).body()


async def read_object(request: Request[Any], limit: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Return the JSON object of the body; raises `Malformed` or `TooLarge`.

    A name given twice in one object is refused: who checked the first value would find the last
    one used.
    """
    body = await read_body(request, limit)
    try:
        value = msgspec.json.decode(body)
        json.loads(body, object_pairs_hook=_refuse_twice)
    except (msgspec.DecodeError, ValueError, RecursionError):  # also a number of 5,000 digits
        raise Malformed("The body is not valid JSON") from None
    if not isinstance(value, dict):
        raise Malformed("The body must be a JSON object")
    return value


def _refuse_twice(members: list[tuple[str, Any]]) -> None:
    names: set[str] = set()
    for name, _ in members:
        if name in names:
            message = f"{name:.100} is given twice"
            raise Malformed(message, {f"{name:.100}": message})
        names.add(name)


async def read_upload(request: Request[Any], field: str) -> bytes:
    """Return the file `field` of a multipart form; raises `Malformed` or `TooLarge`."""
    limited = Request(request.scope, _limited(request.receive, MAX_UPLOAD_BYTES))
    try:
        async with limited.form(max_files=1, max_fields=10) as form:
            file = form.get(field)
            if not isinstance(file, UploadFile):
                raise Malformed("No file given", {field: f"{field} is required"})
            return await file.read()
    except HTTPException as error:  # what the parser could not make sense of
        raise Malformed(str(error.detail)) from None


def _limited(receive: Receive, limit: int) -> Receive:
    total = 0

    async def receive_within() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise TooLarge(f"The body is larger than {limit} bytes")
        return message

    return receive_within
