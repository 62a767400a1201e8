"""What a key may do: each scope includes those before it. No I/O."""

from typing import Literal, get_args

from management import fields

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)


def includes(held: Scope, wanted: Scope) -> bool:
    """Tell whether a key with the scope `held` may do what `wanted` allows."""
    return SCOPES.index(held) >= SCOPES.index(wanted)


@fields.accepts(
    type="string",
    enum=list(SCOPES),
    description="`read` sees, `write` changes too (the default), `admin` does all for everybody.",
)
def scope(value: object) -> Scope:
    """Accept the name of a scope."""
    for known in SCOPES:
        if value == known:
            return known
    raise ValueError(f"must be one of {', '.join(SCOPES)}")
