"""Short codes: what may be one, and new ones. No I/O."""

import re
import secrets
import string

from management.fields import Check, accepts
from shared.reserved_codes import is_reserved

ALPHABET = string.ascii_letters + string.digits
GENERATED_LENGTH = 6
MIN_LENGTH = 3
MAX_LENGTH = 64
CODE_PATTERN = rf"[A-Za-z0-9_-]{{{MIN_LENGTH},{MAX_LENGTH}}}"
_CODE = re.compile(rf"{CODE_PATTERN}\Z")


def generate() -> str:
    """Return a random code that is no reserved word; the caller sees to it that it is free."""
    while True:
        code = "".join(secrets.choice(ALPHABET) for _ in range(GENERATED_LENGTH))
        if not is_reserved(code):
            return code


@accepts(
    type="string",
    minLength=MIN_LENGTH,
    maxLength=MAX_LENGTH,
    pattern=f"^{CODE_PATTERN}$",
    description="A code of one's own, not a reserved word; without one it is made.",
)
def custom(value: object) -> str:
    """Accept a custom code; raises `ValueError` with a sentence."""
    code = well_formed(value)
    if is_reserved(code):
        raise ValueError("is a reserved word")
    return code


def well_formed(value: object) -> str:
    """Accept what looks like a custom code, reserved or not."""
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004 - every check raises the same
    if not _CODE.match(value):
        raise ValueError(f"must be {MIN_LENGTH} to {MAX_LENGTH} letters, digits, '_' or '-'")
    return value


another = Check(
    custom,
    {**custom.schema, "description": "Another code. The one before it stays, as an alias."},
)
