"""`ETag` and `If-Match`: changes wanted only of what their editor saw (RFC 9110, section 13.1.1).

A tag is a link's version, so that it changes with whatever redirectors are told.
"""

from typing import Any

import msgspec
from starlette.requests import Request

from management.errors import PreconditionFailed


class Condition(msgspec.Struct, frozen=True):
    """The tags of which a change is wanted; None: whatever there is."""

    tags: frozenset[str] | None = None

    def check(self, version: int) -> None:
        """Raise `PreconditionFailed` unless a link of this version may be changed."""
        if self.tags is not None and str(version) not in self.tags:
            raise PreconditionFailed("The URL was changed meanwhile: read it again")


ANY = Condition()


def read(request: Request[Any]) -> Condition:
    """Return what `If-Match` says; a tag that is none of ours matches nothing."""
    values = request.headers.getlist("if-match")
    if not values or [value.strip() for value in values] == ["*"]:
        return ANY
    # A gateway that compresses marks our tags as weak; the version in them is what counts.
    tags = (tag.strip().removeprefix("W/") for value in values for tag in value.split(","))
    return Condition(frozenset(tag[1:-1] for tag in tags if _is_tag(tag)))


def etag(version: int) -> dict[str, str]:
    """Return the header field that names a version."""
    return {"ETag": f'"{version}"'}


def _is_tag(text: str) -> bool:
    return len(text) > 2 and text[0] == text[-1] == '"'
