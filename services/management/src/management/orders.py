"""Orders of a list other than by id, and the cursors that go on in them. No I/O."""

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from management import fields

DESCENDING = "-"
MAX_CURSOR = 4000  # more than a title of 255 characters takes, escaped and in base64
CURSOR_PATTERN = rf"[A-Za-z0-9_-]{{1,{MAX_CURSOR}}}"

Kinds = Mapping[str, Any]  # the type of each field that a list may be ordered by


class Order(msgspec.Struct, frozen=True):
    """By which field, and whether the largest is first; ids decide between what is alike."""

    field: str
    is_descending: bool

    @property
    def name(self) -> str:
        """As the parameter `sort` has it."""
        return f"{DESCENDING if self.is_descending else ''}{self.field}"


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """A place in an order: after the row `id`, whose field was `value` when it was shown."""

    order: str
    value: Any
    id: int


_decoder = msgspec.json.Decoder(Mark)


def cursor_after(order: Order, row: Any) -> str:  # noqa: ANN401 - a Struct of any list
    """Return the cursor of what comes after `row`."""
    mark = Mark(order.name, getattr(row, order.field), row.id)
    return base64.urlsafe_b64encode(msgspec.json.encode(mark)).decode().rstrip("=")


def read_cursor(order: Order, kinds: Kinds, text: str) -> Mark:
    """Return the place that `cursor_after` wrote; raises `ValueError` for any other text."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        mark = _decoder.decode(raw)
        value = msgspec.convert(mark.value, kinds[order.field])
    except (binascii.Error, msgspec.MsgspecError, ValueError, RecursionError):
        raise ValueError("must be one that a page in this order gave") from None
    if mark.order != order.name or not _is_storable(mark.id, value):
        raise ValueError("must be one that a page in this order gave")
    return msgspec.structs.replace(mark, value=value)


def _is_storable(row_id: int, value: object) -> bool:
    """Tell whether PostgreSQL can compare it; what we wrote ourselves, it always can."""
    has_offset = isinstance(value, datetime) and value.tzinfo is not None
    has_nul = isinstance(value, str) and "\0" in value
    is_huge = isinstance(value, int) and abs(value) > fields.BIGINT_MAX
    is_wrong = has_offset or has_nul or is_huge
    return 0 <= row_id <= fields.BIGINT_MAX and not is_wrong


def parser(kinds: Kinds) -> fields.Check:
    """Return the check of the parameter `sort`."""
    names = [f"{sign}{field}" for field in kinds for sign in ("", DESCENDING)]

    @fields.accepts(
        type="string",
        enum=names,
        description="The order instead of by id; `-` puts the largest first.",
    )
    def parse(value: str) -> Order:
        if value not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return Order(value.removeprefix(DESCENDING), value.startswith(DESCENDING))

    return parse
