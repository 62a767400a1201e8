"""Print the API's description: `python -m management.print_openapi`."""

import sys

import msgspec

from management.app import describe


def text() -> str:
    """Return the OpenAPI document, laid out to be read and compared."""
    return msgspec.json.format(msgspec.json.encode(describe()), indent=2).decode() + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
