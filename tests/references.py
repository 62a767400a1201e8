"""References within a description of an interface, OpenAPI's or AsyncAPI's."""

from collections.abc import Iterator
from typing import Any


def references(value: Any) -> Iterator[str]:
    """Yield each `$ref` that a document holds."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from references(each)


def referred(document: Any, reference: str) -> Any:
    """Return what a reference leads to; raises `KeyError` where that is nothing."""
    target = document
    for step in reference.removeprefix("#/").split("/"):
        target = target[step]
    return target
