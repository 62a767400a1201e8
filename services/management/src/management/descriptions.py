"""What an operation of the API takes and answers, as data: `openapi` makes the document of it."""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from management.bodies import Upload
from management.fields import Body, Schema
from shared.errors import DomainError

NOTHING: Mapping[str, Schema] = MappingProxyType({})


class Media(msgspec.Struct, frozen=True):
    """An answer that is not JSON: the media types it may have."""

    types: tuple[str, ...]


HTML = Media(("text/html",))


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path.

    Attributes:
        name: by which clients call it.
        text: what it does; the first line is its title.
        returns: the type of the JSON that is answered, a `Media`, or None for no content.
        has_page: whether who prefers HTML gets a page instead of the JSON.
        status: of the answer when all is well.
        other_statuses: that the same answer may have.
        example: an answer, to be encoded as the real ones are.
        headers: names of the answer's headers beyond those that every answer has.
        body: the JSON object or the upload that it reads.
        query: parameters by name, each with its JSON schema; see `pages.parameters`.
        path: the schema of each path parameter that is no id (those end in `_id`).
        is_conditional: whether it heeds `If-Match`.
        errors: what it may refuse beyond what follows from the rest: a wrong body or query, an
            unknown id, no key, too many requests, a store away, a bug.
        is_once: it heeds `Idempotency-Key`.
    """

    name: str
    text: str
    returns: object = None
    has_page: bool = False
    status: int = 200
    other_statuses: tuple[int, ...] = ()
    example: object = None
    headers: tuple[str, ...] = ()
    body: Body | Upload | None = None
    query: Mapping[str, Schema] = NOTHING
    path: Mapping[str, Schema] = NOTHING
    is_conditional: bool = False
    errors: tuple[type[DomainError], ...] = ()
    is_once: bool = False


class Path(msgspec.Struct, frozen=True):
    """A path and what each of its methods does."""

    path: str
    methods: Mapping[str, Description]
    needs_key: bool
