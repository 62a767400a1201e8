"""Settings come from the environment, once, at the start of a process."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_args, get_origin

import msgspec

from shared import streams

RedisURL = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A(redis|rediss|unix|rediss?\+cluster)://",
        description="an address like redis://host:6379/0",
    ),
]
WebAddress = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A(https?://[^\s/?#]+(/[^\s?#]*)?)?\Z",
        description="an address like https://go.example.com",
    ),
]
# As browsers send them: lower case, no path. Not `*`: with AUTH=open any page that somebody of a
# trusted network reads could do anything.
Origins = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A(\s*https?://[a-z0-9.:\[\]-]+\s*(,|\Z))*\Z",
        description="origins like https://app.example.com, with commas between",
    ),
]
ClickStreams = Annotated[int, msgspec.Meta(ge=1, le=streams.MAX_CLICK_STREAMS)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename="upper"):
    """Base of every service's settings; the field `bus_url` is read from BUS_URL."""

    def __repr__(self) -> str:  # a DSN holds a password: never print values
        return f"{type(self).__name__}({', '.join(self.__struct_fields__)})"


AnySettings = TypeVar("AnySettings", bound=Settings)


def load(kind: type[AnySettings], environ: Mapping[str, str] = os.environ) -> AnySettings:
    """Convert the environment to `kind`; an empty variable counts as one that is not set.

    X_FILE names a file that holds X, for secrets.

    Raises `SystemExit` with one sentence that names the variable.
    """
    values = {name: value for name, value in environ.items() if value}
    for field in kind.__struct_encode_fields__:
        file = environ.get(f"{field}_FILE")
        if file and field not in values:
            values[field] = _read_secret(field, Path(file))
    try:
        return msgspec.convert(values, kind, strict=False, dec_hook=_from_text)
    except msgspec.ValidationError as error:
        raise SystemExit(f"Wrong setting: {error}{_wanted(kind, str(error))}") from None


def _wanted(kind: type[Settings], error: str) -> str:
    """Return the words, or the form, that the setting which `error` names may have, if known."""
    name = error.rpartition("$.")[2].rstrip("`")
    for field in msgspec.structs.fields(kind):
        if field.encode_name == name and get_origin(field.type) is Literal:
            return f": one of {', '.join(get_args(field.type))}"
        if field.encode_name == name and get_origin(field.type) is Annotated:
            return "".join(
                f": {meta.description}" for meta in get_args(field.type)[1:] if meta.description
            )
    return ""


def _from_text(kind: type[object], value: object) -> object:
    """Convert what msgspec has no rule for: a folder or file."""
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"No setting can be a {kind.__name__}")


def _read_secret(field: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SystemExit(f"{field}_FILE can't be read: {error}") from None
