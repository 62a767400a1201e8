"""The API's description in OpenAPI 3.1, from the routes and Structs that serve. No I/O."""

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Any

import msgspec

from management import idempotency
from management.auth import READING
from management.bodies import Upload
from management.descriptions import Description, Media, Path
from management.errors import (
    Conflict,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    PreconditionFailed,
    TooLarge,
    TooManyRequests,
    Unauthorized,
)
from management.fields import BIGINT_MAX, Schema
from shared.errors import DomainError, Unavailable

INTRODUCTION = """
The HTTP API of a Shortwire installation.

- JSON in UTF-8 both ways; unknown members of a body are ignored; types are strict.
- Paths work with and without a slash at the end. `HEAD` is answered wherever `GET` is.
- Times are ISO 8601 in UTC without offset. Lists are arrays in the order of ids.
- Send `X-Request-ID` (1 to 128 visible ASCII characters) or get one: it is in the answer, in the
  logs and in the events that the request caused.
- Keys: in either header below; with `AUTH=open` none is asked. An owner's key sees what is theirs
  and, with the scope `write`, changes it; one with the scope `admin` does all.
- Answers to who needs a key tell what is left of its limit, or of the address's: `RateLimit-Policy`
  and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), and `RateLimit-Limit`,
  `RateLimit-Remaining`, `RateLimit-Reset` (seconds). Beyond it: 429 with `Retry-After`.
- Errors have one shape, the schema `Error`. Beside those below: 404 for an unknown path, 405 (with
  `Allow`) for a method that a path has not, 408, 414 and 431 for requests too slow or too long.
- Who prefers `text/html` in `Accept` gets errors as a page with the same status.
"""
SCHEMA_REFERENCE = "#/components/schemas/{name}"
ID: Schema = {"type": "integer", "minimum": 1, "maximum": BIGINT_MAX}
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer sw_…`"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
HEADERS: Mapping[str, Mapping[str, Any]] = {
    "Cache-Control": {"description": "How long the answer may be kept."},
    "Content-Disposition": {"description": "A name for the file."},
    "Content-Security-Policy": {"description": "What the page may load: nothing from elsewhere."},
    "ETag": {
        "description": "Names the version that is answered, for `If-Match` or `If-None-Match`.",
        "required": True,
        "example": '"42"',
    },
    "Idempotency-Replayed": {
        "description": "`true` where this is the answer to an earlier request with the same key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Link": {
        "description": "Where there is more, the address of what follows.",
        "example": '</urls?cursor=100&per_page=100>; rel="next"',
    },
    "Location": {"description": "Where what was asked for is.", "required": True},
    "Retry-After": {
        "description": "Seconds after which it is worth trying again.",
        "schema": {"type": "integer", "minimum": 0},
        "required": True,
    },
    "WWW-Authenticate": {"description": "How to present a key.", "required": True},
    "X-Cache": {
        "description": "`stale` where no store could be asked.",
        "schema": {"type": "string", "enum": ["stale"]},
    },
    "X-Next-Cursor": {"description": "Where there is more, the `cursor` of what follows."},
    "X-Total-Count": {
        "description": "How many there are on all pages, where `count=true` asked for it; with a "
        "`+` there are more than could be counted quickly.",
        "schema": {"type": "string", "pattern": r"^\d+\+?$"},
    },
    "X-Robots-Tag": {"description": "What a search engine may do with it."},
    "X-Request-ID": {"description": "The request's id.", "required": True},
}

IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": idempotency.HEADER,
    "in": "header",
    "description": "Send the request again under the same key and it is carried out once: for 24 "
    "hours it gets the same answer, with another body 422, and 409 while the first is under way.",
    "schema": {"type": "string", "pattern": f"^{idempotency.KEY_PATTERN}$"},
}


IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "The `ETag` that was read: the change is refused if the URL is another by now.",
    "schema": {"type": "string"},
    "example": "*",
}


class Error(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong, in a sentence; `details` say it of each wrong field or missing part."""

    error: Annotated[str, msgspec.Meta(examples=["title must be a string"])]
    details: Annotated[
        dict[str, str], msgspec.Meta(examples=[{"title": "title must be a string"}])
    ] = {}


class InternalError(DomainError):
    """A bug of ours; the request's id finds it in the logs."""

    status = 500


def document(paths: Iterable[Path]) -> dict[str, Any]:
    """Return the document that describes `paths`."""
    ordered = sorted(paths, key=lambda each: each.path)
    schemas, components = _schemas([each for path in ordered for each in path.methods.values()])
    errors = {
        error for path in ordered for method in path.methods for error in _errors(path, method)
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Shortwire",
            "version": version("shortwire-management"),
            "description": INTRODUCTION.strip(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": {
            path.path: {method: _operation(path, method, schemas) for method in path.methods}
            for path in ordered
        },
        "components": {
            "schemas": components,
            "responses": {
                error.__name__: _error_response(error) for error in sorted(errors, key=_order)
            },
            "headers": {name: {"schema": {"type": "string"}, **HEADERS[name]} for name in HEADERS},
            "securitySchemes": SECURITY,
        },
    }


def _schemas(
    operations: list[Description],
) -> tuple[Mapping[object, Schema], Mapping[str, Schema]]:
    """Return the schema of each type that is answered, and the components they refer to."""
    types = [each.returns for each in operations if not isinstance(each.returns, Media | None)]
    schemas, components = msgspec.json.schema_components(
        [*types, Error], ref_template=SCHEMA_REFERENCE
    )
    for each in _objects([*schemas, components]):
        if isinstance(text := each.get("description"), str):
            each["description"] = " ".join(text.split())  # a docstring's lines
        if isinstance(default := each.get("default"), tuple):
            each["default"] = list(default)  # as JSON has it
    return dict(zip([*types, Error], schemas, strict=True)), dict(sorted(components.items()))


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for each in list(value.values() if isinstance(value, dict) else value):
            yield from _objects(each)


def _operation(path: Path, method: str, schemas: Mapping[object, Schema]) -> dict[str, Any]:
    operation = path.methods[method]
    summary, _, rest = operation.text.partition("\n")
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": summary.rstrip("."),
        "tags": [path.path.split("/")[1].partition(".")[0] or "home"],
        "security": [{name: []} for name in SECURITY] if path.needs_key else [],
        "responses": {
            **{
                str(status): _answer(status, operation, schemas)
                for status in (operation.status, *operation.other_statuses)
            },
            **{
                str(error.status): {"$ref": f"#/components/responses/{error.__name__}"}
                for error in _errors(path, method)
            },
        },
    }
    if rest.strip():
        described["description"] = " ".join(rest.split())
    parameters = [*_path_parameters(path, operation), *_query_parameters(operation)]
    if operation.is_conditional:
        parameters.append(IF_MATCH)
    if operation.is_once:
        parameters.append(IDEMPOTENCY_KEY)
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = _request_body(operation)
    return described


def _path_parameters(path: Path, operation: Description) -> Iterator[dict[str, Any]]:
    for name in _names(path.path):
        schema = operation.path.get(name, ID if name.endswith("_id") else None)
        if schema is None:
            raise ValueError(f"{operation.name} does not describe {name} of {path.path}")
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _names(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)


def _query_parameters(operation: Description) -> Iterator[dict[str, Any]]:
    for name, schema in operation.query.items():
        parameter: dict[str, Any] = {"name": name, "in": "query"}
        kept = dict(schema)
        for member in ("description", "deprecated"):
            if value := kept.pop(member, None):
                parameter[member] = value
        yield parameter | {"schema": kept}


def _request_body(operation: Description) -> dict[str, Any]:
    body = operation.body
    if isinstance(body, Upload):
        schema = {
            "type": "object",
            "properties": {
                body.field: {
                    "type": "string",
                    "format": "binary",
                    "description": body.meaning,
                    "examples": [body.example],
                }
            },
            "required": [body.field],
        }
        content = {
            "multipart/form-data": {
                "schema": schema,
                "encoding": {body.field: {"contentType": body.media_type}},
            }
        }
    else:
        assert body is not None
        content = {"application/json": {"schema": body.schema}}
    return {"required": True, "content": content}


def _answer(
    status: int, operation: Description, schemas: Mapping[object, Schema]
) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "headers": _headers(
            *operation.headers, *([idempotency.REPLAYED] if operation.is_once else [])
        ),
    }
    if isinstance(operation.returns, Media):
        answer["content"] = {
            kind: {"schema": {"type": "string"}} for kind in operation.returns.types
        }
    elif operation.returns is not None:
        content: dict[str, Any] = {"schema": schemas[operation.returns]}
        if operation.example is not None:
            content["example"] = msgspec.to_builtins(operation.example)
        answer["content"] = {"application/json": content}
        if operation.has_page:
            answer["content"]["text/html"] = {"schema": {"type": "string"}}
    return answer


def _headers(*names: str) -> dict[str, Any]:
    return {
        name: {"$ref": f"#/components/headers/{name}"} for name in sorted({*names, "X-Request-ID"})
    }


def _errors(path: Path, method: str) -> list[type[DomainError]]:
    """Return what `method` may refuse: what follows from its shape, and what it says."""
    operation = path.methods[method]
    errors = {*operation.errors, TooManyRequests, InternalError}
    if path.needs_key:
        errors |= {Unauthorized, Unavailable}
    if path.needs_key and method.upper() not in READING:
        errors.add(Forbidden)
    if operation.is_conditional:
        errors.add(PreconditionFailed)
    if operation.query:
        errors.add(Malformed)
    if _names(path.path):
        errors.add(NotFound)
    if operation.is_once:
        errors |= {Malformed, Conflict, Invalid}
    if operation.body is not None:
        errors |= {Malformed, TooLarge, operation.body.error}
    return sorted(errors, key=_order)


def _order(error: type[DomainError]) -> tuple[int, str]:
    return error.status, error.__name__


def _error_response(error: type[DomainError]) -> dict[str, Any]:
    return {
        "description": " ".join((error.__doc__ or "").split()),
        "headers": _headers(*error.headers),
        "content": {
            "application/json": {"schema": {"$ref": SCHEMA_REFERENCE.format(name="Error")}},
            "text/html": {"schema": {"type": "string"}},
        },
    }
