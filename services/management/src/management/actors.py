"""Who asks for what is being changed: known to all code below a request.

A context variable, not an argument: what writes the trail reads it itself, so no handler can
forget to hand it on.
"""

from contextvars import ContextVar

import msgspec


class Actor(msgspec.Struct, frozen=True):
    """A user and the key they used; neither where none is asked for."""

    user_id: int | None = None
    key_id: int | None = None
    request_id: str | None = None


NOBODY = Actor()
_current: ContextVar[Actor] = ContextVar("actor", default=NOBODY)


def act_as(actor: Actor) -> None:
    """Name who asks, until the request's task ends."""
    _current.set(actor)


def current() -> Actor:
    """Return who asks; outside of a request nobody does."""
    return _current.get()
